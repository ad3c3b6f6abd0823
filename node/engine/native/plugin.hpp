// The libtorrent plugins: `btt_speed` messages, exact byte counts in stream order, and upload allowances.
//
// Everything here runs on libtorrent's network thread and never touches Python.
#pragma once

#include <libtorrent/extensions.hpp>
#include <libtorrent/peer_connection_handle.hpp>
#include <libtorrent/peer_request.hpp>
#include <libtorrent/performance_counters.hpp>
#include <libtorrent/torrent_status.hpp>

#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "events.hpp"

namespace bttnode {

class PeerPlugin;

constexpr int message_id = 40;            // ours in the BEP 10 handshake; every peer names its own
constexpr int max_message = 64 * 1024;    // bytes of one body
constexpr std::size_t max_client = 100;  // bytes of the peer's name for itself
constexpr int max_hello = 4 * 1024;       // bytes of the peer's bencoded `btt` value
constexpr std::size_t max_outstanding = 1 << 18;
constexpr std::int64_t max_block = 0x4000;  // libtorrent refuses longer requests
constexpr std::size_t max_held = 4096;
constexpr int max_idle_seconds = 3;  // of two seeds that have nothing to say to each other
constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

// What plugins and the Python side share. Outlives the session: both hold it.
struct Core {
    Core(std::int64_t notify_bytes, std::string hello_) : events(notify_bytes), hello(std::move(hello_)) {}

    EventQueue events;
    std::string const hello;  // bencoded; empty = do not offer the extension

    std::shared_ptr<PeerPlugin> find(peer_id_t peer);
    peer_id_t enter(std::shared_ptr<PeerPlugin> const& plugin);
    void leave(peer_id_t peer);
    // Calls f(plugin) for each live peer, on the caller's thread.
    std::vector<std::shared_ptr<PeerPlugin>> all();

private:
    std::mutex mutex_;
    peer_id_t next_ = 1;
    std::unordered_map<peer_id_t, std::weak_ptr<PeerPlugin>> peers_;
};

// What the peers of one torrent need to know of it.
struct Torrent {
    std::string id;
    bool complete = false;
};

class PeerPlugin final : public lt::peer_plugin {
public:
    PeerPlugin(std::shared_ptr<Core> core, lt::peer_connection_handle handle, std::shared_ptr<Torrent const> torrent);
    void entered(peer_id_t id) { id_ = id; }

    // lt::peer_plugin
    lt::string_view type() const override { return "btt_speed"; }
    void add_handshake(lt::entry& handshake) override;
    bool on_extension_handshake(lt::bdecode_node const& handshake) override;
    bool on_extended(int length, int id, lt::span<char const> body) override;
    bool on_handshake(lt::span<char const> reserved_bits) override;
    bool on_request(lt::peer_request const& request) override;
    bool on_cancel(lt::peer_request const& request) override;
    void sent_choke() override;
    bool write_request(lt::peer_request const& request) override;
    bool on_reject(lt::peer_request const& request) override;
    bool on_piece(lt::peer_request const& piece, lt::span<char const> data) override;
    void sent_piece(lt::peer_request const& piece) override;
    void on_disconnect(lt::error_code const& error) override;
    void tick() override;

    // commands, on the network thread
    void send(std::string const& body, std::int64_t tag);
    void set_allowance(std::int64_t mark);
    void set_class(std::int64_t new_class, lt::counters& counters);
    void choke();
    void unchoke();
    void disconnect(std::string const& reason);

    peer_id_t id() const { return id_; }
    std::string const& torrent() const { return torrent_->id; }
    bool speaks() const { return remote_ > 0; }
    std::int64_t sent() const { return sent_; }
    std::int64_t received() const { return received_; }
    lt::peer_connection_handle& handle() { return handle_; }

private:
    static std::uint64_t key(lt::peer_request const& request);
    bool admits(lt::peer_request const& request, std::int64_t promised) const;
    bool is_servable(lt::peer_request const& request);
    void reject(lt::peer_request const& request);
    void release_held();
    void tell_if_stalled(std::int64_t promised);

    std::shared_ptr<Core> const core_;
    lt::peer_connection_handle handle_;
    std::shared_ptr<Torrent const> const torrent_;
    peer_id_t id_ = 0;
    std::string reason_;  // why we hang up
    int idle_seconds_ = 0;
    int remote_ = -1;
    bool hello_pushed_ = false;
    bool gone_ = false;
    bool stalled_ = false;
    bool fast_ = false;  // BEP 6
    // Requests beyond the allowance, in order. Choking instead would throw the peer's whole pipeline away each time.
    std::deque<lt::peer_request> held_;
    std::int64_t sent_ = 0;
    std::int64_t received_ = 0;
    std::int64_t allowance_ = unlimited;
    std::int64_t class_ = -1;
    std::unordered_set<std::uint64_t> outstanding_;
    bool outstanding_overflowed_ = false;
};

class TorrentPlugin final : public lt::torrent_plugin {
public:
    TorrentPlugin(std::shared_ptr<Core> core, std::string id)
        : core_(std::move(core)), torrent_(std::make_shared<Torrent>(Torrent{std::move(id)})) {}
    std::shared_ptr<lt::peer_plugin> new_connection(lt::peer_connection_handle const& handle) override;
    void on_piece_pass(lt::piece_index_t piece) override;
    void on_piece_failed(lt::piece_index_t piece) override;
    void on_state(lt::torrent_status::state_t state) override;

private:
    void push_verdict(Kind kind, lt::piece_index_t piece);

    std::shared_ptr<Core> const core_;
    std::shared_ptr<Torrent> const torrent_;
};

class SessionPlugin final : public lt::plugin {
public:
    explicit SessionPlugin(std::shared_ptr<Core> core) : core_(std::move(core)) {}
    std::shared_ptr<lt::torrent_plugin> new_torrent(lt::torrent_handle const& handle, lt::client_data_t data) override;

private:
    std::shared_ptr<Core> const core_;
};

// The engine's name of a torrent: v1 info-hash in hex where there is one, else the truncated v2 info-hash.
std::string torrent_id(lt::info_hash_t const& hashes);

}  // namespace bttnode
