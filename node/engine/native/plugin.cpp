#include "plugin.hpp"

#include <libtorrent/bdecode.hpp>
#include <libtorrent/entry.hpp>
#include <libtorrent/error_code.hpp>
#include <libtorrent/hex.hpp>
#include <libtorrent/info_hash.hpp>
#include <libtorrent/peer_connection.hpp>
#include <libtorrent/peer_info.hpp>
#include <libtorrent/torrent_handle.hpp>

#include <algorithm>
#include <utility>
#include <vector>

#include "peer_access.hpp"

namespace bttnode {

std::string torrent_id(lt::info_hash_t const& hashes) {
    auto const best = hashes.has_v1() ? hashes.v1 : hashes.get_best();
    return lt::aux::to_hex(best);
}

// --- Core ---

std::shared_ptr<PeerPlugin> Core::find(peer_id_t peer) {
    std::lock_guard<std::mutex> const lock(mutex_);
    auto const it = peers_.find(peer);
    return it == peers_.end() ? nullptr : it->second.lock();
}

peer_id_t Core::enter(std::shared_ptr<PeerPlugin> const& plugin) {
    std::lock_guard<std::mutex> const lock(mutex_);
    auto const id = next_++;
    peers_[id] = plugin;
    return id;
}

void Core::leave(peer_id_t peer) {
    std::lock_guard<std::mutex> const lock(mutex_);
    peers_.erase(peer);
}

std::vector<std::shared_ptr<PeerPlugin>> Core::all() {
    std::vector<std::shared_ptr<PeerPlugin>> result;
    std::lock_guard<std::mutex> const lock(mutex_);
    result.reserve(peers_.size());
    for (auto const& [id, weak] : peers_)
        if (auto plugin = weak.lock()) result.push_back(std::move(plugin));
    return result;
}

// --- PeerPlugin ---

PeerPlugin::PeerPlugin(std::shared_ptr<Core> core, lt::peer_connection_handle handle,
                       std::shared_ptr<Torrent const> torrent)
    : core_(std::move(core)), handle_(std::move(handle)), torrent_(std::move(torrent)) {}

std::uint64_t PeerPlugin::key(lt::peer_request const& request) {
    return (std::uint64_t(std::uint32_t(static_cast<int>(request.piece))) << 32) | std::uint32_t(request.start);
}

void PeerPlugin::add_handshake(lt::entry& handshake) {
    if (core_->hello.empty()) return;
    handshake["m"]["btt_speed"] = message_id;
    handshake["btt"] = lt::entry::preformatted_type(core_->hello.begin(), core_->hello.end());
}

bool PeerPlugin::on_extension_handshake(lt::bdecode_node const& handshake) {
    // A peer may repeat its handshake; the last id counts, the greeting is told once.
    auto const messages = handshake.dict_find_dict("m");
    if (!messages || core_->hello.empty()) return true;
    auto const id = messages.dict_find_int_value("btt_speed", -1);
    if (id <= 0 || id > 255) return true;
    remote_ = int(id);
    if (hello_pushed_) return true;
    hello_pushed_ = true;

    Event event{Kind::peer_hello};
    event.peer = id_;
    event.torrent = torrent_->id;
    event.a = handle_.remote().port();
    event.b = handle_.is_outgoing() ? 1 : 0;
    event.text = handle_.remote().address().to_string();
    auto const client = handshake.dict_find_string_value("v");
    event.data = std::string(client.substr(0, std::min(client.find('\0'), max_client))) + '\0';
    if (auto const btt = handshake.dict_find("btt")) {
        auto const section = btt.data_section();
        if (section.size() <= max_hello) event.data.append(section.data(), std::size_t(section.size()));
    }
    core_->events.push(std::move(event));
    // Blocks that came before the greeting still stand in the stream; they belong to no piece we account for.
    if (sent_) core_->events.add_sent(id_, sent_, sent_);
    if (received_) core_->events.add_received(id_, -1, received_, received_, 0);
    return true;
}

bool PeerPlugin::on_extended(int const length, int const id, lt::span<char const> const body) {
    if (id != message_id || core_->hello.empty()) return false;
    if (length > max_message) {
        handle_.disconnect(lt::errors::make_error_code(lt::errors::packet_too_large), lt::operation_t::bittorrent);
        return true;
    }
    // Called again and again until the body is complete.
    if (int(body.size()) < length) return true;
    Event event{Kind::peer_message};
    event.peer = id_;
    event.a = sent_;
    event.b = received_;
    event.data.assign(body.data(), std::size_t(body.size()));
    if (hello_pushed_ && !core_->events.push_message(std::move(event)))
        handle_.disconnect(lt::errors::make_error_code(lt::errors::packet_too_large), lt::operation_t::bittorrent);
    return true;
}

bool PeerPlugin::on_handshake(lt::span<char const> const reserved_bits) {
    fast_ = reserved_bits.size() >= 8 && (reserved_bits[7] & 0x04) != 0;
    return true;
}

bool PeerPlugin::admits(lt::peer_request const& request, std::int64_t const promised) const {
    return allowance_ == unlimited || sent_ + promised + request.length <= allowance_;
}

bool PeerPlugin::on_request(lt::peer_request const& request) {
    if (allowance_ == unlimited) return false;
    auto const peer = handle_.native_handle();
    // While choked, libtorrent rejects every request itself: our sessions have no allowed-fast set.
    if (!peer || handle_.is_choked()) return false;
    // Far from the limit an upper bound will do: counting the queue for each request would be quadratic.
    auto const at_most = peer->num_reading_bytes() + std::int64_t(request_queue(*peer).size()) * max_block;
    if (held_.empty() && admits(request, at_most)) return false;
    auto const promised = promised_bytes(*peer);
    if (held_.empty() && admits(request, promised)) return false;
    if (held_.size() >= max_held) {
        reject(request);
        return true;
    }
    held_.push_back(request);
    tell_if_stalled(promised);
    return true;
}

bool PeerPlugin::on_cancel(lt::peer_request const& request) {
    for (auto it = held_.begin(); it != held_.end(); ++it) {
        if (!(*it == request)) continue;
        held_.erase(it);
        // A cancelled request is answered all the same (BEP 6).
        reject(request);
        return true;
    }
    return false;
}

void PeerPlugin::sent_choke() {
    // A choke ends everything asked for; fast peers want to hear it for each request (BEP 6).
    auto const held = std::move(held_);
    held_.clear();
    for (auto const& request : held) reject(request);
}

void PeerPlugin::reject(lt::peer_request const& request) {
    if (!fast_ || gone_) return;
    std::string frame;
    auto const put = [&frame](std::uint32_t value) {
        for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(char((value >> shift) & 0xff));
    };
    put(13);
    frame.push_back(char(16));  // BEP 6: reject request
    put(std::uint32_t(static_cast<int>(request.piece)));
    put(std::uint32_t(request.start));
    put(std::uint32_t(request.length));
    handle_.send_buffer(frame.data(), int(frame.size()));
}

// What libtorrent checks before it queues a request; held ones come in past that check.
bool PeerPlugin::is_servable(lt::peer_request const& request) {
    auto const torrent = handle_.associated_torrent();
    auto const info = torrent.torrent_file();
    if (!info || request.piece < lt::piece_index_t(0) || request.piece >= info->end_piece()) return false;
    auto const size = info->piece_size(request.piece);
    return request.start >= 0 && request.start < size && request.length > 0 && request.length <= max_block &&
           request.start + request.length <= size && torrent.have_piece(request.piece);
}

void PeerPlugin::release_held() {
    auto const peer = handle_.native_handle();
    if (!peer || gone_) return;
    auto promised = promised_bytes(*peer);
    bool released = false;
    while (!held_.empty() && admits(held_.front(), promised)) {
        auto const request = held_.front();
        held_.pop_front();
        if (!is_servable(request)) {
            reject(request);
            continue;
        }
        request_queue(*peer).push_back(request);
        promised += request.length;
        released = true;
    }
    if (released) {
        stalled_ = false;
        // libtorrent looks at the queue again when something has been sent: a keep-alive does no harm.
        char const keep_alive[4] = {0, 0, 0, 0};
        handle_.send_buffer(keep_alive, sizeof keep_alive);
    }
    tell_if_stalled(promised);
}

void PeerPlugin::tell_if_stalled(std::int64_t const promised) {
    if (stalled_ || held_.empty() || promised > 0) return;
    stalled_ = true;
    Event event{Kind::upload_stalled};
    event.peer = id_;
    event.a = sent_;
    core_->events.push(std::move(event));
}

bool PeerPlugin::write_request(lt::peer_request const& request) {
    if (outstanding_.size() < max_outstanding)
        outstanding_.insert(key(request));
    else
        outstanding_overflowed_ = true;
    return false;
}

bool PeerPlugin::on_reject(lt::peer_request const& request) {
    outstanding_.erase(key(request));
    return false;
}

bool PeerPlugin::on_piece(lt::peer_request const& piece, lt::span<char const>) {
    received_ += piece.length;
    // An overflowed table no longer knows: then the block counts as asked for.
    bool const requested = outstanding_.erase(key(piece)) > 0 || outstanding_overflowed_;
    if (hello_pushed_)
        core_->events.add_received(id_, static_cast<int>(piece.piece), piece.length, received_,
                                   requested ? 0 : piece.length);
    return false;
}

void PeerPlugin::sent_piece(lt::peer_request const& piece) {
    sent_ += piece.length;
    if (hello_pushed_) core_->events.add_sent(id_, piece.length, sent_);
    if (held_.empty()) return;
    if (auto const peer = handle_.native_handle()) tell_if_stalled(promised_bytes(*peer));
}

void PeerPlugin::on_disconnect(lt::error_code const& error) {
    if (gone_) return;
    gone_ = true;
    core_->leave(id_);
    if (!hello_pushed_) return;
    Event event{Kind::peer_gone};
    event.peer = id_;
    event.a = sent_;
    event.b = received_;
    event.text = reason_.empty() ? error.message() : reason_;
    core_->events.push(std::move(event));
}

// The session keeps redundant connections so that the last cheque gets through; with a peer that knows of no cheques
// two seeds hang up, as libtorrent would have done by itself.
void PeerPlugin::tick() {
    if (gone_ || speaks() || !torrent_->complete || !handle_.is_seed()) {
        idle_seconds_ = 0;
        return;
    }
    if (++idle_seconds_ < max_idle_seconds) return;
    auto const redundant = lt::errors::make_error_code(lt::errors::upload_upload_connection);
    handle_.disconnect(redundant, lt::operation_t::bittorrent);
}

void PeerPlugin::send(std::string const& body, std::int64_t const tag) {
    if (gone_ || remote_ <= 0) return;
    std::uint32_t const length = std::uint32_t(2 + body.size());
    std::string frame;
    frame.reserve(4 + length);
    for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(char((length >> shift) & 0xff));
    frame.push_back(char(20));  // BEP 10: extended message
    frame.push_back(char(remote_));
    frame += body;
    handle_.send_buffer(frame.data(), int(frame.size()));
    if (tag == 0) return;
    Event event{Kind::message_sent};
    event.peer = id_;
    event.a = sent_;
    event.b = received_;
    event.c = tag;
    core_->events.push(std::move(event));
}

void PeerPlugin::set_allowance(std::int64_t const mark) {
    allowance_ = mark;
    stalled_ = false;
    release_held();
}

void PeerPlugin::set_class(std::int64_t const new_class, lt::counters& counters) {
    if (gone_ || new_class == class_) return;
    auto const peer = handle_.native_handle();
    if (!peer) return;
    bool const was_reserved = handle_.ignore_unchoke_slots();
    if (class_ >= 0) remove_class(*peer, lt::peer_class_t(std::uint32_t(class_)));
    class_ = new_class;
    if (class_ >= 0) add_class(*peer, lt::peer_class_t(std::uint32_t(class_)));
    bool const reserved = handle_.ignore_unchoke_slots();
    if (reserved == was_reserved) return;
    if (!handle_.is_choked()) {
        // libtorrent counts the unchoked peers that hold a slot. Choking around the change would keep that count right
        // too, but throw the peer's pipeline away.
        counters.inc_stats_counter(lt::counters::num_peers_up_unchoked, reserved ? -1 : 1);
    } else if (reserved && handle_.is_peer_interested()) {
        handle_.maybe_unchoke_this_peer();
    }
}

void PeerPlugin::choke() {
    if (!gone_ && !handle_.is_choked()) handle_.choke_this_peer();
}

void PeerPlugin::unchoke() {
    if (!gone_ && handle_.is_choked()) handle_.maybe_unchoke_this_peer();
}

void PeerPlugin::disconnect(std::string const& reason) {
    if (gone_) return;
    reason_ = reason;
    handle_.disconnect(lt::errors::make_error_code(lt::errors::stopping_torrent), lt::operation_t::bittorrent);
}

// --- TorrentPlugin, SessionPlugin ---

std::shared_ptr<lt::peer_plugin> TorrentPlugin::new_connection(lt::peer_connection_handle const& handle) {
    if (handle.type() != lt::connection_type::bittorrent) return {};
    auto plugin = std::make_shared<PeerPlugin>(core_, handle, torrent_);
    plugin->entered(core_->enter(plugin));
    return plugin;
}

void TorrentPlugin::push_verdict(Kind const kind, lt::piece_index_t const piece) {
    Event event{kind};
    event.torrent = torrent_->id;
    event.a = static_cast<int>(piece);
    core_->events.push_verdict(std::move(event));
}

void TorrentPlugin::on_piece_pass(lt::piece_index_t const piece) { push_verdict(Kind::piece_verified, piece); }

void TorrentPlugin::on_piece_failed(lt::piece_index_t const piece) { push_verdict(Kind::piece_failed, piece); }

void TorrentPlugin::on_state(lt::torrent_status::state_t const state) {
    torrent_->complete = state == lt::torrent_status::seeding;
}

std::shared_ptr<lt::torrent_plugin> SessionPlugin::new_torrent(lt::torrent_handle const& handle,
                                                               lt::client_data_t const) {
    return std::make_shared<TorrentPlugin>(core_, torrent_id(handle.info_hashes()));
}

}  // namespace bttnode
