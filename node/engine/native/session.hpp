// One libtorrent session as plain calls that never need Python: the bindings release the GIL around each of them.
#pragma once

#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/peer_class.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/torrent_handle.hpp>
#include <libtorrent/torrent_status.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "plugin.hpp"

namespace bttnode {

using Setting = std::variant<bool, int, std::string>;

struct PeerSnapshot {
    peer_id_t peer;
    std::string host;
    int port;
    std::string client;
    bool speaks, outgoing, choked_by_us, choked_by_peer, interested, seed;
    double progress;
    int upload_rate, download_rate;
    std::int64_t sent, received;
    bool wanted;
    int requests;
};

// Raised for faults the caller can name: the Python side maps `code` to its own exception types.
struct EngineFault : std::runtime_error {
    EngineFault(std::string code_, std::string const& text) : std::runtime_error(text), code(std::move(code_)) {}
    std::string code;
};

class Session {
public:
    Session(std::vector<std::pair<std::string, Setting>> const& settings, std::string hello, std::int64_t notify_bytes,
            bool pex);
    ~Session();

    int fd() const { return core_->events.fd(); }
    void close();
    int listen_port();

    std::vector<Event> drain();

    std::string add(lt::add_torrent_params params, bool recheck, std::vector<std::pair<std::string, int>> const& peers);
    void remove(std::string const& torrent, bool delete_files);
    void pause(std::string const& torrent);
    void resume(std::string const& torrent);
    void recheck(std::string const& torrent);
    void save_resume(std::string const& torrent);
    void read_piece(std::string const& torrent, int piece);
    void set_deadline(std::string const& torrent, int piece, int milliseconds);
    void connect(std::string const& torrent, std::string const& host, int port);
    void add_tracker(std::string const& torrent, std::string const& url);
    lt::torrent_status status(std::string const& torrent);
    std::vector<std::pair<std::string, lt::torrent_status>> statuses();
    std::shared_ptr<lt::torrent_info const> info(std::string const& torrent);
    std::vector<std::string> trackers(std::string const& torrent);
    std::vector<PeerSnapshot> peers(std::string const& torrent);
    // For each of `wanted`: of the pieces that it has and we miss, how many connected peers have each. Of long torrents
    // only an even sample of at most `max_pieces` missing pieces is looked at.
    std::map<peer_id_t, std::vector<int>> holders(std::string const& torrent, std::vector<peer_id_t> wanted,
                                                  int max_pieces);
    void set_limits(int upload, int download);

    void send(peer_id_t peer, std::string body, std::int64_t tag);
    void set_upload(peer_id_t peer, int priority, int limit, bool reserved);
    void set_allowance(peer_id_t peer, std::int64_t mark);
    void choke(peer_id_t peer);
    void unchoke(peer_id_t peer);
    void disconnect(peer_id_t peer, std::string const& reason);
    void ban(peer_id_t peer, std::string const& reason);

private:
    lt::session& session();
    lt::torrent_handle handle(std::string const& torrent);
    void on_network_thread(std::function<void()> work);
    void with_peer(peer_id_t peer, std::function<void(PeerPlugin&)> work);
    std::int64_t class_for(peer_id_t peer, int priority, int limit, bool reserved);
    std::string id_of(lt::torrent_handle const& handle);
    void tell_metadata(std::vector<Event>& events);
    void translate(lt::alert* alert, std::vector<Event>& events);

    std::vector<std::pair<std::string, lt::torrent_handle>> awaiting_metadata_;  // only drain() touches it
    std::shared_ptr<Core> core_;
    std::unique_ptr<lt::session> session_;
    std::mutex mutex_;  // guards the maps below; never held while calling libtorrent
    std::map<std::string, lt::torrent_handle> torrents_;
    // Peers without a limit of their own share one class per (priority, reserved); a limit needs its own class.
    std::map<std::tuple<int, bool>, std::int64_t> shared_classes_;
    std::map<peer_id_t, std::int64_t> own_classes_;
};

}  // namespace bttnode
