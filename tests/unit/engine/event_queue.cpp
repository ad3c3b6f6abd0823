// Checks of the event queue by itself; built and run by test_event_queue.py. Prints what failed.
#include "events.hpp"

#include <iostream>

using namespace bttnode;

namespace {

int failures = 0;

void expect(bool const holds, char const* const promise) {
    if (holds) return;
    ++failures;
    std::cout << promise << '\n';
}

Event verdict(Kind const kind, int const piece) {
    Event event{kind};
    event.a = piece;
    return event;
}

Event message(peer_id_t const peer, std::size_t const size) {
    Event event{Kind::peer_message};
    event.peer = peer;
    event.data.assign(size, 'x');
    return event;
}

void second_attempt_stands_behind_the_failure() {
    EventQueue queue(1 << 20);
    queue.add_received(1, 7, 100, 100, 0);
    queue.add_received(2, 7, 50, 50, 0);
    queue.push_verdict(verdict(Kind::piece_failed, 7));
    queue.add_received(1, 7, 30, 130, 0);
    auto const events = queue.drain();
    expect(events.size() == 4, "a verdict ends the counts of its piece for every peer");
    expect(events[0].c == 100 && events[1].c == 50, "bytes of the first attempt stand before the failure");
    expect(events[2].kind == Kind::piece_failed, "the failure stands between the attempts");
    expect(events[3].c == 30 && events[3].b == 130, "bytes of the second attempt stand behind the failure");
}

void marks_grow_event_by_event() {
    EventQueue queue(1 << 20);
    queue.add_received(1, 1, 10, 1010, 0);
    queue.add_received(1, 2, 20, 1030, 5);
    queue.add_received(1, 1, 10, 1040, 0);
    auto const events = queue.drain();
    expect(events.size() == 2, "counts of a piece coalesce");
    expect(events[0].b == 1020 && events[0].c == 20, "the first mark is the one before plus its own bytes");
    expect(events[1].b == 1040 && events[1].c == 20 && events[1].d == 5, "the last mark is the stream's");
    queue.add_received(1, 1, 10, 1050, 0);
    expect(queue.drain()[0].b == 1050, "marks go on across a drain");
}

void a_message_is_a_barrier_for_its_peer_only() {
    EventQueue queue(1 << 20);
    queue.add_sent(1, 10, 10);
    queue.add_sent(2, 10, 10);
    expect(queue.push_message(message(1, 1)), "a message is taken");
    queue.add_sent(1, 10, 20);
    queue.add_sent(2, 10, 20);
    auto const events = queue.drain();
    expect(events.size() == 4, "only the peer that spoke gets a new count");
    expect(events[0].a == 10 && events[1].a == 20 && events[3].a == 20, "no count moves across a message");
}

void undrained_messages_are_bounded() {
    EventQueue queue(1 << 20);
    for (std::size_t i = 0; i < EventQueue::max_peer_messages; ++i) queue.push_message(message(1, 1));
    expect(!queue.push_message(message(1, 1)), "too many messages of one peer are refused");
    expect(queue.push_message(message(2, 1)), "another peer is still heard");
    queue.drain();
    expect(queue.push_message(message(1, EventQueue::max_peer_message_bytes)), "a drain makes room");
    expect(!queue.push_message(message(1, 1)), "too many bytes of one peer are refused");
}

}  // namespace

int main() {
    second_attempt_stands_behind_the_failure();
    marks_grow_event_by_event();
    a_message_is_a_barrier_for_its_peer_only();
    undrained_messages_are_bounded();
    return failures;
}
