// The Python module node.engine._native: thin bindings, no decisions. The GIL is released around every call that may
// wait for libtorrent; nothing here is ever called from libtorrent's threads.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <libtorrent/announce_entry.hpp>
#include <libtorrent/hex.hpp>
#include <libtorrent/magnet_uri.hpp>
#include <libtorrent/torrent_flags.hpp>
#include <libtorrent/torrent_info.hpp>
#include <libtorrent/version.hpp>

#include "session.hpp"
#include "torrents.hpp"

namespace py = pybind11;
using namespace bttnode;
using release = py::call_guard<py::gil_scoped_release>;

namespace {

// Strings of strangers need not be UTF-8.
py::str text_of(std::string const& bytes) {
    return py::reinterpret_steal<py::str>(
        PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
}

py::list texts_of(std::vector<std::string> const& strings) {
    py::list result;
    for (auto const& each : strings) result.append(text_of(each));
    return result;
}

py::dict describe(lt::torrent_info const& info) {
    py::dict result;
    auto const hashes = info.info_hashes();
    result["id"] = torrent_id(hashes);
    result["name"] = text_of(info.name());
    result["v1"] = hashes.has_v1() ? py::object(py::str(lt::aux::to_hex(hashes.v1))) : py::none();
    result["v2"] = hashes.has_v2() ? py::object(py::str(lt::aux::to_hex(hashes.v2))) : py::none();
    result["total_bytes"] = info.total_size();
    result["piece_length"] = info.piece_length();
    result["pieces"] = info.num_pieces();
    result["private"] = info.priv();
    py::list files;
    auto const& storage = info.files();
    for (auto const index : storage.file_range()) {
        if (storage.pad_file_at(index)) continue;
        files.append(py::make_tuple(text_of(storage.file_path(index)), storage.file_size(index)));
    }
    result["files"] = files;
    return result;
}

py::dict describe(lt::add_torrent_params const& params) {
    py::dict result;
    if (params.ti) {
        result = describe(*params.ti);
    } else {
        auto const& hashes = params.info_hashes;
        result["id"] = torrent_id(hashes);
        result["name"] = text_of(params.name);
        result["v1"] = hashes.has_v1() ? py::object(py::str(lt::aux::to_hex(hashes.v1))) : py::none();
        result["v2"] = hashes.has_v2() ? py::object(py::str(lt::aux::to_hex(hashes.v2))) : py::none();
        result["total_bytes"] = 0;
        result["piece_length"] = 0;
        result["pieces"] = 0;
        result["private"] = false;
        result["files"] = py::list();
    }
    result["trackers"] = texts_of(params.trackers);
    result["comment"] = text_of(params.ti ? params.ti->comment() : std::string());
    return result;
}

py::dict describe(std::string const& id, lt::torrent_status const& status) {
    py::dict result;
    result["id"] = id;
    result["name"] = text_of(status.name);
    result["save_path"] = status.save_path;
    result["state"] = int(status.state);
    result["paused"] = bool(status.flags & lt::torrent_flags::paused);
    result["upload_mode"] = bool(status.flags & lt::torrent_flags::upload_mode);
    result["error"] = text_of(status.errc ? status.errc.message() : std::string());
    result["done_bytes"] = status.total_done;
    result["progress"] = double(status.progress);
    result["download_rate"] = status.download_payload_rate;
    result["upload_rate"] = status.upload_payload_rate;
    result["downloaded"] = status.total_payload_download;
    result["uploaded"] = status.total_payload_upload;
    result["peers"] = status.num_peers;
    result["seeds"] = status.num_seeds;
    result["has_metadata"] = status.has_metadata;
    result["finished"] = status.is_finished;
    auto const info = status.torrent_file.lock();
    result["total_bytes"] = info ? info->total_size() : std::int64_t(0);
    result["piece_length"] = info ? info->piece_length() : 0;
    result["pieces"] = info ? info->num_pieces() : 0;
    return result;
}

py::tuple to_tuple(Event& event) {
    return py::make_tuple(int(event.kind), event.peer, event.a, event.b, event.c, event.d, event.torrent,
                          text_of(event.text), py::bytes(event.data));
}

lt::add_torrent_params params_of(py::object const& torrent, py::object const& magnet, py::object const& resume) {
    if (!resume.is_none()) return parse_resume(resume.cast<std::string>());
    if (!torrent.is_none()) return parse_torrent(torrent.cast<std::string>());
    return parse_magnet(magnet.cast<std::string>());
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "libtorrent with btt_speed messages, exact stream marks and upload allowances";
    m.attr("LIBTORRENT_VERSION") = lt::version();

    static py::handle fault = py::exception<EngineFault>(m, "FaultError").release();
    py::register_exception_translator([](std::exception_ptr pointer) {
        try {
            if (pointer) std::rethrow_exception(pointer);
        } catch (EngineFault const& error) {
            PyErr_SetObject(fault.ptr(), py::make_tuple(error.code, error.what()).ptr());
        } catch (lt::system_error const& error) {
            // What libtorrent itself refuses, such as a handle whose torrent went away meanwhile.
            PyErr_SetObject(fault.ptr(), py::make_tuple("refused", text_of(error.what())).ptr());
        }
    });

    py::class_<Session>(m, "Session")
        .def(py::init<std::vector<std::pair<std::string, Setting>> const&, std::string, std::int64_t, bool>(),
             py::arg("settings"), py::arg("hello"), py::arg("notify_bytes"), py::arg("pex"), release())
        .def("close", &Session::close, release())
        .def("fd", &Session::fd)
        .def("listen_port", &Session::listen_port, release())
        .def("drain",
             [](Session& self) {
                 std::vector<Event> events;
                 {
                     py::gil_scoped_release const unlocked;
                     events = self.drain();
                 }
                 py::list result(events.size());
                 for (std::size_t i = 0; i < events.size(); ++i) result[i] = to_tuple(events[i]);
                 return result;
             })
        .def(
            "add",
            [](Session& self, std::string const& save_path, py::object const& torrent, py::object const& magnet,
               py::object const& resume, bool paused, bool seed_mode, bool recheck,
               std::vector<std::string> const& trackers, std::vector<std::pair<std::string, int>> const& peers) {
                auto params = params_of(torrent, magnet, resume);
                py::gil_scoped_release const unlocked;
                params.save_path = save_path;
                params.flags &= ~(lt::torrent_flags::paused | lt::torrent_flags::seed_mode);
                if (paused) params.flags |= lt::torrent_flags::paused;
                if (seed_mode) params.flags |= lt::torrent_flags::seed_mode;
                params.trackers.insert(params.trackers.end(), trackers.begin(), trackers.end());
                return self.add(std::move(params), recheck, peers);
            },
            py::arg("save_path"), py::arg("torrent"), py::arg("magnet"), py::arg("resume"), py::arg("paused"),
            py::arg("seed_mode"), py::arg("recheck"), py::arg("trackers"), py::arg("peers"))
        .def("remove", &Session::remove, release())
        .def("pause", &Session::pause, release())
        .def("resume", &Session::resume, release())
        .def("recheck", &Session::recheck, release())
        .def("save_resume", &Session::save_resume, release())
        .def("read_piece", &Session::read_piece, release())
        .def("set_deadline", &Session::set_deadline, release())
        .def("connect", &Session::connect, release())
        .def("add_tracker", &Session::add_tracker, release())
        .def("set_limits", &Session::set_limits, release())
        .def("status",
             [](Session& self, std::string const& torrent) {
                 lt::torrent_status status;
                 {
                     py::gil_scoped_release const unlocked;
                     status = self.status(torrent);
                 }
                 return describe(torrent, status);
             })
        .def("statuses",
             [](Session& self) {
                 std::vector<std::pair<std::string, lt::torrent_status>> statuses;
                 {
                     py::gil_scoped_release const unlocked;
                     statuses = self.statuses();
                 }
                 py::list result;
                 for (auto const& [id, status] : statuses) result.append(describe(id, status));
                 return result;
             })
        .def("info",
             [](Session& self, std::string const& torrent) -> py::object {
                 std::shared_ptr<lt::torrent_info const> info;
                 std::vector<std::string> trackers;
                 {
                     py::gil_scoped_release const unlocked;
                     info = self.info(torrent);
                     trackers = self.trackers(torrent);
                 }
                 if (!info) return py::none();
                 py::dict result = describe(*info);
                 result["trackers"] = texts_of(trackers);
                 result["comment"] = text_of(info->comment());
                 return result;
             })
        .def("peers",
             [](Session& self, std::string const& torrent) {
                 std::vector<PeerSnapshot> peers;
                 {
                     py::gil_scoped_release const unlocked;
                     peers = self.peers(torrent);
                 }
                 py::list result;
                 for (auto const& p : peers)
                     result.append(py::make_tuple(
                         p.peer, p.host, p.port, text_of(p.client), p.speaks, p.outgoing, p.choked_by_us,
                         p.choked_by_peer, p.interested, p.seed, p.progress, p.upload_rate, p.download_rate, p.sent,
                         p.received, p.wanted, p.requests));
                 return result;
             })
        .def("holders", &Session::holders, release())
        // These three only leave word for the network thread, which never waits for Python: a few microseconds, called
        // for every peer in a row. Letting the lock go would hand it to another thread at each of them.
        .def("send", [](Session& self, peer_id_t peer, py::bytes const& body,
                        std::int64_t tag) { self.send(peer, std::string(body), tag); })
        .def("set_upload", &Session::set_upload)
        .def("set_allowance", &Session::set_allowance)
        .def("choke", &Session::choke, release())
        .def("unchoke", &Session::unchoke, release())
        .def("disconnect", &Session::disconnect, release())
        .def("ban", &Session::ban, release());

    m.def("inspect", [](py::bytes const& data) { return describe(parse_torrent(std::string(data))); });
    m.def("inspect_magnet", [](std::string const& link) { return describe(parse_magnet(link)); });
    m.def(
        "create",
        [](std::string const& path, std::string const& format, int piece_length, std::vector<std::string> trackers,
           std::vector<std::string> web_seeds, std::string comment, std::string creator, bool is_private,
           py::function const& progress) {
            CreateRequest const request{path, format, piece_length, std::move(trackers), std::move(web_seeds),
                                        std::move(comment), std::move(creator), is_private};
            std::string torrent;
            {
                py::gil_scoped_release const unlocked;
                // set_piece_hashes calls back on this thread, which is Python's own.
                torrent = create_torrent(request, [&](int done, int total) {
                    if (done != total && done % 64 != 0) return;
                    py::gil_scoped_acquire const locked;
                    progress(done, total);
                });
            }
            return py::bytes(torrent);
        },
        py::arg("path"), py::arg("kind"), py::arg("piece_length"), py::arg("trackers"), py::arg("web_seeds"),
        py::arg("comment"), py::arg("creator"), py::arg("private"), py::arg("progress"));
}
