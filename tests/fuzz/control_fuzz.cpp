// SPDX-License-Identifier: Apache-2.0
// What launcher, keeper, worker and whoever reaches a control socket say to each other. Input: one
// message.
#include "control/message.hpp"
#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs;
    using fuzz::require;
    const auto bytes = fuzz::as_text(data, size);
    const auto message = control::Message::decode(bytes);
    if (!message) return 0;
    require(size <= control::Message::kMaxBytes, "a message is not too long");
    const auto written = message->encode();
    const auto again = control::Message::decode(written);
    require(again && *again == *message, "what was understood can be said again");
    for (const auto* name : {"id", "milliseconds", "json", "lost", "level", "verb"}) {
        const auto first = message->text(name);
        const auto all = message->all(name);
        require(
            all.empty() ? first.empty() : all.front() == first, "the first is the first of all"
        );
        if (const auto number = message->number(name)) {
            require(
                !first.empty() && first.find_first_not_of("0123456789") == std::string_view::npos,
                "a number is digits"
            );
        }
    }
    return 0;
}
