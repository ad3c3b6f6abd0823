// Events from libtorrent's threads to Python: a bounded queue and an eventfd that asyncio watches.
//
// Byte counts coalesce: while a peer's count is still in the queue, newer bytes are added to it in place. A message of
// the same peer is a barrier, so that counts never move across a mark in the stream; the verdict on a piece is one for
// the counts of that piece, so that bytes of a second attempt never stand before the failure of the first. Thus the
// queue is bounded by peers x partial pieces + messages, and messages are bounded per peer.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace bttnode {

using peer_id_t = std::uint64_t;

enum class Kind : int {
    peer_hello = 1,
    peer_message,
    message_sent,
    bytes_sent,
    bytes_received,
    upload_stalled,
    peer_gone,
    piece_verified,
    piece_failed,
    metadata_received,
    torrent_checked,
    torrent_finished,
    torrent_failed,
    tracker_failed,
    listen_ok,
    listen_failed,
    resume_data,
    resume_failed,
    piece_read,
    piece_read_failed,
    events_lost,
};

// One event; which fields mean something depends on the kind, see libtorrent.py.
struct Event {
    explicit Event(Kind kind_) : kind(kind_) {}
    Kind kind;
    peer_id_t peer = 0;
    std::int64_t a = 0;  // sent mark, or port, piece, count
    std::int64_t b = 0;  // received mark, or fault
    std::int64_t c = 0;  // tag, length
    std::int64_t d = 0;  // unrequested bytes
    std::string torrent;
    std::string text;
    std::string data;
};

class EventQueue {
public:
    static constexpr std::size_t max_peer_messages = 64;
    static constexpr std::size_t max_peer_message_bytes = 1 << 20;

    explicit EventQueue(std::int64_t notify_bytes);
    ~EventQueue();
    EventQueue(EventQueue const&) = delete;
    EventQueue& operator=(EventQueue const&) = delete;

    int fd() const { return fd_; }

    void push(Event event);
    // The verdict on a piece, which is event.a.
    void push_verdict(Event event);
    // A message of a peer: false when the peer has too many undrained ones.
    bool push_message(Event event);
    void add_sent(peer_id_t peer, std::int64_t length, std::int64_t mark);
    void add_received(peer_id_t peer, int piece, std::int64_t length, std::int64_t mark, std::int64_t unrequested);

    std::vector<Event> drain();
    void signal();

private:
    struct PeerState {
        std::uint64_t sent_at = 0;                           // sequence + 1 of the open BytesSent, 0 = none
        std::unordered_map<int, std::uint64_t> received_at;  // piece -> sequence + 1 of the open BytesReceived
        std::int64_t received_before = -1;                   // the mark before the first undrained count, -1 = none
        std::int64_t unannounced = 0;
        std::size_t messages = 0;
        std::size_t message_bytes = 0;
    };

    Event& at(std::uint64_t sequence_plus_one) { return queue_[sequence_plus_one - 1 - base_]; }
    std::uint64_t append(Event event);
    void barrier(peer_id_t peer);
    bool announce(PeerState& state, std::int64_t length);

    std::int64_t const notify_bytes_;
    int const fd_;
    std::mutex mutex_;
    std::deque<Event> queue_;
    std::uint64_t base_ = 0;  // sequence of queue_.front()
    std::unordered_map<peer_id_t, PeerState> peers_;
};

}  // namespace bttnode
