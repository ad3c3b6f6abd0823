#include "session.hpp"

#include <libtorrent/alert_types.hpp>
#include <libtorrent/aux_/session_impl.hpp>
#include <libtorrent/bencode.hpp>
#include <libtorrent/create_torrent.hpp>
#include <libtorrent/extensions/smart_ban.hpp>
#include <libtorrent/extensions/ut_metadata.hpp>
#include <libtorrent/extensions/ut_pex.hpp>
#include <libtorrent/ip_filter.hpp>
#include <libtorrent/peer_connection.hpp>
#include <libtorrent/peer_info.hpp>
#include <libtorrent/session_params.hpp>
#include <libtorrent/settings_pack.hpp>
#include <libtorrent/torrent_flags.hpp>
#include <libtorrent/torrent_info.hpp>
#include <libtorrent/write_resume_data.hpp>

#include <boost/asio/post.hpp>

#include <algorithm>
#include <future>
#include <stdexcept>

namespace bttnode {

namespace {

lt::settings_pack make_settings(std::vector<std::pair<std::string, Setting>> const& settings) {
    lt::settings_pack pack;
    for (auto const& [name, value] : settings) {
        int const id = lt::setting_by_name(name);
        if (id < 0) {
            // The cutoff exists in 2.0 only: later versions choose pread by themselves.
            if (name == "mmap_file_size_cutoff") continue;
            throw std::invalid_argument("unknown setting " + name);
        }
        switch (id & lt::settings_pack::type_mask) {
            case lt::settings_pack::string_type_base: pack.set_str(id, std::get<std::string>(value)); break;
            case lt::settings_pack::bool_type_base: pack.set_bool(id, std::get<bool>(value)); break;
            default: pack.set_int(id, std::get<int>(value));
        }
    }
    return pack;
}

// Local addresses are exempt from rate limits by default: map every address to the global class instead.
lt::ip_filter every_address_is_limited() {
    auto const global = 1u << static_cast<std::uint32_t>(lt::session::global_peer_class_id);
    lt::ip_filter filter;
    filter.add_rule(lt::make_address("0.0.0.0"), lt::make_address("255.255.255.255"), global);
    filter.add_rule(lt::make_address("::"), lt::make_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), global);
    return filter;
}

std::string to_string(std::vector<char> const& bytes) { return std::string(bytes.begin(), bytes.end()); }

Event torrent_event(Kind kind, std::string torrent) {
    Event event{kind};
    event.torrent = std::move(torrent);
    return event;
}

auto const status_fields =
    lt::torrent_handle::query_name | lt::torrent_handle::query_save_path | lt::torrent_handle::query_torrent_file;

enum Fault : std::int64_t { disk_full = 1, disk = 2, other = 3 };

Fault fault_of(lt::error_code const& error) {
    if (error == boost::system::errc::no_space_on_device || error.value() == ENOSPC) return disk_full;
    return error.category() == lt::system_category() || error.category() == lt::generic_category() ? disk : other;
}

}  // namespace

Session::Session(std::vector<std::pair<std::string, Setting>> const& settings, std::string hello,
                 std::int64_t const notify_bytes, bool const pex)
    : core_(std::make_shared<Core>(notify_bytes, std::move(hello))) {
    lt::session_params params(make_settings(settings));
    params.extensions.clear();
    params.extensions.push_back(std::make_shared<SessionPlugin>(core_));
    session_ = std::make_unique<lt::session>(std::move(params));
    session_->add_extension(&lt::create_ut_metadata_plugin);
    session_->add_extension(&lt::create_smart_ban_plugin);
    if (pex) session_->add_extension(&lt::create_ut_pex_plugin);
    session_->set_peer_class_filter(every_address_is_limited());
    // Called on a network thread: only wakes the reader.
    session_->set_alert_notify([core = core_] { core->events.signal(); });
}

Session::~Session() { close(); }

void Session::close() {
    auto session = std::move(session_);
    if (!session) return;
    session->set_alert_notify([] {});
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        torrents_.clear();
    }
    // Destroying the proxy waits for the network and disk threads; trackers get a short farewell.
    auto proxy = session->abort();
    session.reset();
}

lt::session& Session::session() {
    if (!session_) throw EngineFault("closed", "the engine is closed");
    return *session_;
}

int Session::listen_port() { return session().listen_port(); }

lt::torrent_handle Session::handle(std::string const& torrent) {
    std::lock_guard<std::mutex> const lock(mutex_);
    auto const it = torrents_.find(torrent);
    if (it == torrents_.end() || !it->second.is_valid())
        throw EngineFault("unknown_torrent", "no torrent " + torrent);
    return it->second;
}

// --- torrents ---

std::string Session::add(lt::add_torrent_params params, bool const recheck,
                         std::vector<std::pair<std::string, int>> const& peers) {
    auto const id = torrent_id(params.ti ? params.ti->info_hashes() : params.info_hashes);
    for (auto const& [host, port] : peers) {
        lt::error_code error;
        auto const address = lt::make_address(host, error);
        if (error || port <= 0 || port > 65535) throw EngineFault("bad_peer", "not a peer address: " + host);
        params.peers.emplace_back(address, std::uint16_t(port));
    }
    params.flags &= ~lt::torrent_flags::auto_managed;
    params.flags |= lt::torrent_flags::duplicate_is_error | lt::torrent_flags::update_subscribe;
    lt::error_code error;
    auto const handle = session().add_torrent(std::move(params), error);
    if (error == lt::errors::duplicate_torrent) throw EngineFault("duplicate", "this torrent is here already");
    if (error) throw EngineFault("bad_torrent", error.message());
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        torrents_[id] = handle;
    }
    if (recheck) handle.force_recheck();
    return id;
}

void Session::remove(std::string const& torrent, bool const delete_files) {
    auto const target = handle(torrent);
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        torrents_.erase(torrent);
    }
    session().remove_torrent(target, delete_files ? lt::session::delete_files : lt::remove_flags_t{});
}

void Session::pause(std::string const& torrent) { handle(torrent).pause(); }

void Session::resume(std::string const& torrent) {
    auto const target = handle(torrent);
    target.clear_error();
    // A failed write leaves a torrent in upload mode: the user says that there is space again.
    target.unset_flags(lt::torrent_flags::upload_mode);
    target.resume();
}

void Session::recheck(std::string const& torrent) { handle(torrent).force_recheck(); }

void Session::save_resume(std::string const& torrent) {
    handle(torrent).save_resume_data(lt::torrent_handle::save_info_dict | lt::torrent_handle::flush_disk_cache);
}

void Session::read_piece(std::string const& torrent, int const piece) {
    auto const target = handle(torrent);
    auto const info = target.torrent_file();
    if (!info || piece < 0 || piece >= info->num_pieces() || !target.have_piece(lt::piece_index_t(piece)))
        throw EngineFault("no_piece", "piece " + std::to_string(piece) + " is not here");
    target.read_piece(lt::piece_index_t(piece));
}

void Session::set_deadline(std::string const& torrent, int const piece, int const milliseconds) {
    auto const target = handle(torrent);
    auto const info = target.torrent_file();
    if (!info || piece < 0 || piece >= info->num_pieces())
        throw EngineFault("no_piece", "the torrent has no piece " + std::to_string(piece));
    target.set_piece_deadline(lt::piece_index_t(piece), milliseconds);
}

void Session::connect(std::string const& torrent, std::string const& host, int const port) {
    lt::error_code error;
    auto const address = lt::make_address(host, error);
    if (error || port <= 0 || port > 65535) throw EngineFault("bad_peer", "not a peer address: " + host);
    handle(torrent).connect_peer({address, std::uint16_t(port)});
}

void Session::add_tracker(std::string const& torrent, std::string const& url) {
    handle(torrent).add_tracker(lt::announce_entry(url));
}

lt::torrent_status Session::status(std::string const& torrent) {
    return handle(torrent).status(status_fields);
}

std::vector<std::pair<std::string, lt::torrent_status>> Session::statuses() {
    std::vector<std::pair<std::string, lt::torrent_handle>> handles;
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        handles.assign(torrents_.begin(), torrents_.end());
    }
    std::vector<std::pair<std::string, lt::torrent_status>> result;
    for (auto const& [id, handle] : handles) {
        if (!handle.is_valid()) continue;
        result.emplace_back(id, handle.status(status_fields));
    }
    return result;
}

std::shared_ptr<lt::torrent_info const> Session::info(std::string const& torrent) {
    return handle(torrent).torrent_file();
}

std::vector<std::string> Session::trackers(std::string const& torrent) {
    std::vector<std::string> result;
    for (auto const& entry : handle(torrent).trackers()) result.push_back(entry.url);
    return result;
}

void Session::set_limits(int const upload, int const download) {
    lt::settings_pack pack;
    pack.set_int(lt::settings_pack::upload_rate_limit, upload);
    pack.set_int(lt::settings_pack::download_rate_limit, download);
    session().apply_settings(std::move(pack));
}

// --- peers ---

void Session::on_network_thread(std::function<void()> work) {
    auto const native = session().native_handle();
    boost::asio::post(native->get_context(), std::move(work));
}

void Session::with_peer(peer_id_t const peer, std::function<void(PeerPlugin&)> work) {
    auto plugin = core_->find(peer);
    if (!plugin || !session_) return;
    on_network_thread([plugin = std::move(plugin), work = std::move(work)] { work(*plugin); });
}

std::vector<PeerSnapshot> Session::peers(std::string const& torrent) {
    handle(torrent);
    auto const promise = std::make_shared<std::promise<std::vector<PeerSnapshot>>>();
    auto future = promise->get_future();
    on_network_thread([promise, torrent, core = core_] {
        std::vector<PeerSnapshot> result;
        for (auto const& plugin : core->all()) {
            if (plugin->torrent() != torrent) continue;
            lt::peer_info info;
            plugin->handle().get_peer_info(info);
            result.push_back({plugin->id(), info.ip.address().to_string(), info.ip.port(), info.client,
                              plugin->speaks(), bool(info.flags & lt::peer_info::local_connection),
                              bool(info.flags & lt::peer_info::choked),
                              bool(info.flags & lt::peer_info::remote_choked),
                              bool(info.flags & lt::peer_info::remote_interested),
                              bool(info.flags & lt::peer_info::seed), double(info.progress), info.up_speed,
                              info.down_speed, plugin->sent(), plugin->received(),
                              bool(info.flags & lt::peer_info::interesting), info.download_queue_length});
        }
        promise->set_value(std::move(result));
    });
    if (future.wait_for(std::chrono::seconds(10)) != std::future_status::ready)
        throw EngineFault("busy", "the engine did not answer in time");
    return future.get();
}

std::map<peer_id_t, std::vector<int>> Session::holders(std::string const& torrent, std::vector<peer_id_t> wanted,
                                                       int const max_pieces) {
    auto const have = handle(torrent).status(lt::torrent_handle::query_pieces).pieces;
    std::vector<lt::piece_index_t> missing;
    for (auto const piece : have.range())
        if (!have.get_bit(piece)) missing.push_back(piece);
    if (auto const count = int(missing.size()); count > max_pieces) {
        for (int i = 0; i < max_pieces; ++i) missing[i] = missing[std::int64_t(i) * count / max_pieces];
        missing.resize(max_pieces);
    }
    auto const promise = std::make_shared<std::promise<std::map<peer_id_t, std::vector<int>>>>();
    auto future = promise->get_future();
    on_network_thread([promise, torrent, core = core_, wanted = std::move(wanted), missing = std::move(missing)] {
        std::vector<int> counts(missing.size());
        std::map<peer_id_t, std::vector<std::size_t>> has;
        for (auto const& plugin : core->all()) {
            if (plugin->torrent() != torrent) continue;
            lt::peer_info info;
            plugin->handle().get_peer_info(info);
            bool const named = std::find(wanted.begin(), wanted.end(), plugin->id()) != wanted.end();
            for (std::size_t i = 0; i < missing.size(); ++i) {
                if (missing[i] >= info.pieces.end_index() || !info.pieces.get_bit(missing[i])) continue;
                ++counts[i];
                if (named) has[plugin->id()].push_back(i);
            }
        }
        std::map<peer_id_t, std::vector<int>> result;
        for (auto const& [peer, indices] : has)
            for (auto const i : indices) result[peer].push_back(counts[i]);
        promise->set_value(std::move(result));
    });
    if (future.wait_for(std::chrono::seconds(10)) != std::future_status::ready)
        throw EngineFault("busy", "the engine did not answer in time");
    return future.get();
}

void Session::send(peer_id_t const peer, std::string body, std::int64_t const tag) {
    with_peer(peer, [body = std::move(body), tag](PeerPlugin& plugin) { plugin.send(body, tag); });
}

std::int64_t Session::class_for(peer_id_t const peer, int const priority, int const limit, bool const reserved) {
    if (priority <= 1 && limit <= 0 && !reserved) return -1;
    std::int64_t id = -1;
    auto const shared = std::make_tuple(priority, reserved);
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        if (limit <= 0) {
            auto const it = shared_classes_.find(shared);
            if (it != shared_classes_.end()) return it->second;
        } else {
            auto const it = own_classes_.find(peer);
            if (it != own_classes_.end()) id = it->second;
        }
    }
    if (id < 0) id = std::int64_t(static_cast<std::uint32_t>(session().create_peer_class("btt")));
    // Written whole, not read and changed: reading waits for the network thread, at each call and for each peer.
    lt::peer_class_info info;
    info.ignore_unchoke_slots = reserved;
    info.connection_limit_factor = 100;
    info.label = "btt";
    info.upload_limit = limit;
    info.download_limit = 0;
    info.upload_priority = priority;
    info.download_priority = 1;
    session().set_peer_class(lt::peer_class_t(std::uint32_t(id)), info);
    std::lock_guard<std::mutex> const lock(mutex_);
    if (limit <= 0)
        shared_classes_[shared] = id;
    else
        own_classes_[peer] = id;
    return id;
}

void Session::set_upload(peer_id_t const peer, int const priority, int const limit, bool const reserved) {
    if (!core_->find(peer)) return;
    auto const id = class_for(peer, priority, limit, reserved);
    with_peer(peer, [id, native = session().native_handle()](PeerPlugin& plugin) {
        lt::aux::session_interface& counted = *native;
        plugin.set_class(id, counted.stats_counters());
    });
}

void Session::set_allowance(peer_id_t const peer, std::int64_t const mark) {
    with_peer(peer, [mark](PeerPlugin& plugin) { plugin.set_allowance(mark < 0 ? unlimited : mark); });
}

void Session::choke(peer_id_t const peer) {
    with_peer(peer, [](PeerPlugin& plugin) { plugin.choke(); });
}

void Session::unchoke(peer_id_t const peer) {
    with_peer(peer, [](PeerPlugin& plugin) { plugin.unchoke(); });
}

void Session::disconnect(peer_id_t const peer, std::string const& reason) {
    with_peer(peer, [reason](PeerPlugin& plugin) { plugin.disconnect(reason); });
}

void Session::ban(peer_id_t const peer, std::string const& reason) {
    auto const plugin = core_->find(peer);
    if (!plugin) return;
    auto const address = plugin->handle().remote().address();
    // First our own word for it: the filter closes the connection as well.
    disconnect(peer, reason);
    auto filter = session().get_ip_filter();
    filter.add_rule(address, address, lt::ip_filter::blocked);
    session().set_ip_filter(filter);
}

// --- events ---

std::vector<Event> Session::drain() {
    auto events = core_->events.drain();
    if (!session_) return events;
    std::vector<peer_id_t> gone;
    for (auto const& event : events)
        if (event.kind == Kind::peer_gone) gone.push_back(event.peer);
    for (auto const peer : gone) {
        std::int64_t own = -1;
        {
            std::lock_guard<std::mutex> const lock(mutex_);
            auto const it = own_classes_.find(peer);
            if (it != own_classes_.end()) {
                own = it->second;
                own_classes_.erase(it);
            }
        }
        if (own >= 0) session_->delete_peer_class(lt::peer_class_t(std::uint32_t(own)));
    }
    std::vector<lt::alert*> alerts;
    session_->pop_alerts(&alerts);
    for (auto* const alert : alerts) translate(alert, events);
    tell_metadata(events);
    return events;
}

// A torrent can be heard of before `add` has returned: then it is known by its hash only.
std::string Session::id_of(lt::torrent_handle const& handle) {
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        for (auto const& [id, known] : torrents_)
            if (known == handle) return id;
    }
    return handle.is_valid() ? torrent_id(handle.info_hashes()) : std::string();
}

// The alert can be ahead of the torrent file it announces: the event waits until there is something to hand over.
void Session::tell_metadata(std::vector<Event>& events) {
    auto const waiting = std::move(awaiting_metadata_);
    awaiting_metadata_.clear();
    for (auto const& [id, handle] : waiting) {
        if (!handle.is_valid()) continue;
        auto const info = handle.torrent_file_with_hashes();
        if (!info) {
            awaiting_metadata_.emplace_back(id, handle);
            continue;
        }
        auto event = torrent_event(Kind::metadata_received, id);
        lt::create_torrent torrent(*info);
        std::vector<char> buffer;
        lt::bencode(std::back_inserter(buffer), torrent.generate());
        event.data = to_string(buffer);
        events.push_back(std::move(event));
    }
}

void Session::translate(lt::alert* const alert, std::vector<Event>& events) {
    auto const* const about = dynamic_cast<lt::torrent_alert const*>(alert);
    auto const id = about ? id_of(about->handle) : std::string();
    if (about && id.empty()) return;  // the torrent is gone altogether
    if (auto const* const done = lt::alert_cast<lt::save_resume_data_alert>(alert)) {
        auto event = torrent_event(Kind::resume_data, id);
        event.data = to_string(lt::write_resume_data_buf(done->params));
        events.push_back(std::move(event));
    } else if (auto const* const failed = lt::alert_cast<lt::save_resume_data_failed_alert>(alert)) {
        auto event = torrent_event(Kind::resume_failed, id);
        event.text = failed->error.message();
        events.push_back(std::move(event));
    } else if (auto const* const read = lt::alert_cast<lt::read_piece_alert>(alert)) {
        auto event = torrent_event(read->error ? Kind::piece_read_failed : Kind::piece_read, id);
        event.a = static_cast<int>(read->piece);
        event.text = read->error ? read->error.message() : "";
        if (!read->error) event.data.assign(read->buffer.get(), std::size_t(read->size));
        events.push_back(std::move(event));
    } else if (auto const* const metadata = lt::alert_cast<lt::metadata_received_alert>(alert)) {
        awaiting_metadata_.emplace_back(id, metadata->handle);
    } else if (auto const* const finished = lt::alert_cast<lt::torrent_finished_alert>(alert)) {
        events.push_back(torrent_event(Kind::torrent_finished, id));
    } else if (auto const* const checked = lt::alert_cast<lt::torrent_checked_alert>(alert)) {
        events.push_back(torrent_event(Kind::torrent_checked, id));
    } else if (auto const* const error = lt::alert_cast<lt::torrent_error_alert>(alert)) {
        auto event = torrent_event(Kind::torrent_failed, id);
        event.b = fault_of(error->error);
        event.text = error->error.message();
        if (auto const* const name = error->filename(); name && *name) event.text += std::string(": ") + name;
        events.push_back(std::move(event));
    } else if (auto const* const file = lt::alert_cast<lt::file_error_alert>(alert)) {
        auto event = torrent_event(Kind::torrent_failed, id);
        event.b = fault_of(file->error);
        event.text = file->error.message() + ": " + file->filename();
        events.push_back(std::move(event));
    } else if (auto const* const tracker = lt::alert_cast<lt::tracker_error_alert>(alert)) {
        auto event = torrent_event(Kind::tracker_failed, id);
        event.data = tracker->tracker_url();
        event.text = tracker->error.message();
        if (auto const* const reason = tracker->failure_reason(); reason && *reason) event.text = reason;
        events.push_back(std::move(event));
    } else if (auto const* const listening = lt::alert_cast<lt::listen_succeeded_alert>(alert)) {
        Event event{Kind::listen_ok};
        event.a = listening->port;
        events.push_back(std::move(event));
    } else if (auto const* const refused = lt::alert_cast<lt::listen_failed_alert>(alert)) {
        Event event{Kind::listen_failed};
        event.a = refused->port;
        event.b = refused->error == boost::system::errc::address_in_use ? 1 : 0;
        event.text = refused->error.message();
        events.push_back(std::move(event));
    } else if (auto const* const dropped = lt::alert_cast<lt::alerts_dropped_alert>(alert)) {
        Event event{Kind::events_lost};
        event.a = std::int64_t(dropped->dropped_alerts.count());
        events.push_back(std::move(event));
    }
}

}  // namespace bttnode
