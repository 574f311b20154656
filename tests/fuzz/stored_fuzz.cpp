// SPDX-License-Identifier: Apache-2.0
// State files of the daemon: what a crash, a full disk or an editor left there. Input: the text of
// a file.
#include "fuzz/fuzz.hpp"
#include "plugins/core/store_json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs;
    using namespace uidnfs::plugins;
    using fuzz::require;
    const auto text = fuzz::as_text(data, size);
    const auto definition = parse_definition(text);
    if (definition) {
        const auto written = to_json(definition->key, *definition->definition);
        const auto again = parse_definition(written);
        require(again && again->key == definition->key, "a definition can be written again");
        require(to_json(again->key, *again->definition) == written, "and is the same");
    } else {
        require(
            fuzz::is_one_printable_line(definition.error().user_text), "a reason is for the log"
        );
    }
    const auto live = parse_live(text);
    if (live) {
        const auto written = to_json(live->key, live->record);
        const auto again = parse_live(written);
        require(
            again && to_json(again->key, again->record) == written, "a record can be written again"
        );
    } else {
        require(fuzz::is_one_printable_line(live.error().user_text), "a reason is for the log");
    }
    return 0;
}
