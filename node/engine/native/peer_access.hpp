// Access to members that libtorrent's shared library does not export.
//
// peer_class_set::add_class is compiled into the library but hidden, and a peer's request queue has no exported
// accessor. Explicit instantiation may name private members ([temp.spec]/6), which gives pointers to them without
// touching libtorrent. All of it is in this header, and it is only known to be right for the versions asserted here.
#pragma once

#include <libtorrent/config.hpp>
#include <libtorrent/peer_class.hpp>
#include <libtorrent/peer_class_set.hpp>
#include <libtorrent/peer_connection.hpp>
#include <libtorrent/version.hpp>

#include <cstddef>
#include <cstdint>

namespace bttnode {

static_assert(LIBTORRENT_VERSION_NUM >= 20008 && LIBTORRENT_VERSION_NUM < 20200,
              "peer_access.hpp reaches into private members: check them against this libtorrent version");

template <auto Size, auto Classes>
struct PeerClassSetMembers {
    friend auto& class_count(lt::peer_class_set& set) { return set.*Size; }
    friend auto& class_array(lt::peer_class_set& set) { return set.*Classes; }
};
auto& class_count(lt::peer_class_set& set);
auto& class_array(lt::peer_class_set& set);
template struct PeerClassSetMembers<&lt::peer_class_set::m_size, &lt::peer_class_set::m_class>;

template <auto Requests>
struct PeerConnectionMembers {
    friend auto& request_queue(lt::peer_connection& peer) { return peer.*Requests; }
};
auto& request_queue(lt::peer_connection& peer);
template struct PeerConnectionMembers<&lt::peer_connection::m_requests>;

inline void add_class(lt::peer_class_set& set, lt::peer_class_t const id) {
    auto& count = class_count(set);
    auto& classes = class_array(set);
    for (int i = 0; i < count; ++i)
        if (classes[std::size_t(i)] == id) return;
    if (count >= int(classes.size())) return;
    classes[std::size_t(count)] = id;
    ++count;
}

inline void remove_class(lt::peer_class_set& set, lt::peer_class_t const id) {
    auto& count = class_count(set);
    auto& classes = class_array(set);
    for (int i = 0; i < count; ++i) {
        if (classes[std::size_t(i)] != id) continue;
        classes[std::size_t(i)] = classes[std::size_t(count - 1)];
        --count;
        return;
    }
}

// Bytes this peer has been promised: requests in its queue and blocks being read from disk for it.
inline std::int64_t promised_bytes(lt::peer_connection& peer) {
    std::int64_t total = peer.num_reading_bytes();
    for (auto const& request : request_queue(peer)) total += request.length;
    return total;
}

}  // namespace bttnode
