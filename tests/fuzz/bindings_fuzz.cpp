// SPDX-License-Identifier: Apache-2.0
// For libFuzzer: a file of exported bindings, whose words developers chose.
#include "fuzz/fuzz.hpp"
#include "plugins/daemon/bindings_file.hpp"

#include <algorithm>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs::plugins;
    using uidnfs::fuzz::require;
    std::string text(reinterpret_cast<const char*>(data), size);
    const auto found = read_bindings(text, {"uidnfs", "nfsv3driver"});
    require(
        std::all_of(text.begin(), text.end(), [](char c) { return c == '\0'; }),
        "the text is wiped: it may hold passwords"
    );
    if (!found) return 0;
    for (const auto& binding : found->list) {
        require(!binding.name.empty(), "a binding has a name");
        for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
            const auto definition = make_definition(dialect, binding.words, binding.problems);
            (void)check_options(*definition, dialect, OptionRules{});
        }
    }
    return 0;
}
