#include "torrents.hpp"

#include <libtorrent/bdecode.hpp>
#include <libtorrent/bencode.hpp>
#include <libtorrent/create_torrent.hpp>
#include <libtorrent/error_code.hpp>
#include <libtorrent/file_storage.hpp>
#include <libtorrent/load_torrent.hpp>
#include <libtorrent/magnet_uri.hpp>
#include <libtorrent/read_resume_data.hpp>
#include <libtorrent/torrent_info.hpp>

#include <algorithm>
#include <iterator>

#include "session.hpp"

namespace bttnode {

namespace {

constexpr std::size_t max_magnet = 64 * 1024;

lt::load_torrent_limits limits() {
    lt::load_torrent_limits result;
    result.max_buffer_size = 64 * 1024 * 1024;
    result.max_decode_depth = 32;
    result.max_decode_tokens = 4'000'000;
    result.max_pieces = 0x200000;
    return result;
}

lt::span<char const> as_span(std::string_view data) { return {data.data(), static_cast<std::ptrdiff_t>(data.size())}; }

std::string parent_of(std::string const& path) {
    auto const slash = path.find_last_of('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

lt::add_torrent_params parse_torrent(std::string_view data) {
    if (data.size() > std::size_t(limits().max_buffer_size))
        throw EngineFault("bad_torrent", "larger than 64 MiB");
    try {
        return lt::load_torrent_buffer(as_span(data), limits());
    } catch (std::exception const& error) {
        throw EngineFault("bad_torrent", error.what());
    }
}

lt::add_torrent_params parse_magnet(std::string const& link) {
    if (link.size() > max_magnet) throw EngineFault("bad_magnet", "longer than 64 KiB");
    lt::error_code error;
    auto params = lt::parse_magnet_uri(link, error);
    if (error) throw EngineFault("bad_magnet", error.message());
    return params;
}

lt::add_torrent_params parse_resume(std::string_view data) {
    lt::error_code error;
    auto params = lt::read_resume_data(as_span(data), error);
    if (error) throw EngineFault("bad_torrent", "resume data: " + error.message());
    return params;
}

std::string create_torrent(CreateRequest const& request, std::function<void(int, int)> const& progress) {
    lt::file_storage files;
    lt::add_files(files, request.path);
    if (files.num_files() == 0 || files.total_size() == 0)
        throw EngineFault("bad_torrent", "there is nothing to share: the file or folder is empty");
    lt::create_flags_t flags{};
    if (request.format == "v1") flags |= lt::create_torrent::v1_only;
    if (request.format == "v2") flags |= lt::create_torrent::v2_only;
    lt::create_torrent torrent(files, request.piece_length, flags);
    int tier = 0;
    for (auto const& url : request.trackers) torrent.add_tracker(url, tier++);
    for (auto const& url : request.web_seeds) torrent.add_url_seed(url);
    if (!request.comment.empty()) torrent.set_comment(request.comment.c_str());
    torrent.set_creator(request.creator.c_str());
    torrent.set_priv(request.is_private);
    int const total = torrent.num_pieces();
    int done = 0;
    lt::error_code error;
    lt::set_piece_hashes(torrent, parent_of(request.path), [&](lt::piece_index_t) { progress(++done, total); }, error);
    if (error) throw EngineFault("disk", "cannot read " + request.path + ": " + error.message());
    std::vector<char> buffer;
    lt::bencode(std::back_inserter(buffer), torrent.generate());
    return std::string(buffer.begin(), buffer.end());
}

}  // namespace bttnode
