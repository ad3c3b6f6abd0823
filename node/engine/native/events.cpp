#include "events.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

namespace bttnode {

EventQueue::EventQueue(std::int64_t notify_bytes)
    : notify_bytes_(notify_bytes), fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::runtime_error("cannot create an eventfd");
}

EventQueue::~EventQueue() { close(fd_); }

void EventQueue::signal() {
    std::uint64_t const one = 1;
    // A full counter (EAGAIN) means the reader is awake already.
    [[maybe_unused]] auto const written = write(fd_, &one, sizeof one);
}

std::uint64_t EventQueue::append(Event event) {
    queue_.push_back(std::move(event));
    return base_ + queue_.size();
}

void EventQueue::barrier(peer_id_t peer) {
    auto const it = peers_.find(peer);
    if (it == peers_.end()) return;
    it->second.sent_at = 0;
    it->second.received_at.clear();
}

void EventQueue::push(Event event) {
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        if (event.peer) barrier(event.peer);
        append(std::move(event));
    }
    signal();
}

void EventQueue::push_verdict(Event event) {
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        // A piece of the same number in another torrent only coalesces a little less.
        for (auto& [peer, state] : peers_) state.received_at.erase(int(event.a));
        append(std::move(event));
    }
    signal();
}

bool EventQueue::push_message(Event event) {
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        auto& state = peers_[event.peer];
        if (state.messages >= max_peer_messages || state.message_bytes + event.data.size() > max_peer_message_bytes)
            return false;
        ++state.messages;
        state.message_bytes += event.data.size();
        barrier(event.peer);
        append(std::move(event));
    }
    signal();
    return true;
}

bool EventQueue::announce(PeerState& state, std::int64_t length) {
    state.unannounced += length;
    if (state.unannounced < notify_bytes_) return false;
    state.unannounced = 0;
    return true;
}

void EventQueue::add_sent(peer_id_t peer, std::int64_t length, std::int64_t mark) {
    bool wake;
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        auto& state = peers_[peer];
        if (state.sent_at) {
            at(state.sent_at).a = mark;
        } else {
            Event event{Kind::bytes_sent};
            event.peer = peer;
            event.a = mark;
            state.sent_at = append(std::move(event));
        }
        wake = announce(state, length);
    }
    if (wake) signal();
}

void EventQueue::add_received(peer_id_t peer, int piece, std::int64_t length, std::int64_t mark,
                              std::int64_t unrequested) {
    bool wake;
    {
        std::lock_guard<std::mutex> const lock(mutex_);
        auto& state = peers_[peer];
        auto& sequence = state.received_at[piece];
        if (!sequence) {
            Event event{Kind::bytes_received};
            event.peer = peer;
            event.a = piece;
            sequence = append(std::move(event));
        }
        if (state.received_before < 0) state.received_before = mark - length;
        auto& event = at(sequence);
        event.c += length;
        event.d += unrequested;
        wake = announce(state, length);
    }
    if (wake) signal();
}

std::vector<Event> EventQueue::drain() {
    std::uint64_t ignored;
    [[maybe_unused]] auto const got = read(fd_, &ignored, sizeof ignored);
    std::vector<Event> events;
    std::lock_guard<std::mutex> const lock(mutex_);
    events.reserve(queue_.size());
    for (auto& event : queue_) {
        // Counts of several pieces grew side by side: only now is it known where each of them ends.
        if (event.kind == Kind::bytes_received) event.b = peers_[event.peer].received_before += event.c;
        events.push_back(std::move(event));
    }
    base_ += queue_.size();
    queue_.clear();
    peers_.clear();
    return events;
}

}  // namespace bttnode
