// Torrent files and magnet links: bounded parsing of untrusted bytes, and creation.
#pragma once

#include <libtorrent/add_torrent_params.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bttnode {

// All three throw EngineFault with one line for the user.
lt::add_torrent_params parse_torrent(std::string_view data);
lt::add_torrent_params parse_magnet(std::string const& link);
lt::add_torrent_params parse_resume(std::string_view data);

struct CreateRequest {
    std::string path;
    std::string format;  // "v1", "v2", "hybrid"
    int piece_length = 0;
    std::vector<std::string> trackers;
    std::vector<std::string> web_seeds;
    std::string comment;
    std::string creator;
    bool is_private = false;
};

// Hashes the files and returns the bencoded torrent. `progress(done, total)` counts pieces.
std::string create_torrent(CreateRequest const& request, std::function<void(int, int)> const& progress);

}  // namespace bttnode
