// SPDX-License-Identifier: Apache-2.0
// For libFuzzer: whatever arrives on a plugin's socket. The first byte says how the rest is cut;
// all of it goes through the HTTP reader, and every body through JSON, options and the state file.
#include "fuzz/fuzz.hpp"
#include "plugins/core/driver_call.hpp"
#include "plugins/core/store_json.hpp"
#include "plugins/http/request_reader.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace {

using namespace uidnfs::plugins;
using uidnfs::fuzz::require;

void take_body(std::string body) {
    auto call = parse_call(body);
    require(body.empty(), "a body is wiped: it may hold a password");
    if (!call) return;
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        const auto definition = make_definition(dialect, call->words, call->problems);
        OptionRules rules;
        rules.identity = OptionRules::Identity::either;
        (void)check_options(*definition, dialect, rules);
        const VolumeKey key{dialect, call->name};
        require(directory_name(key).find('/') == std::string::npos, "no name is a path");
        const auto again = parse_definition(to_json(key, *definition));
        require(again.has_value(), "what was saved can be read");
        require(again->key == key, "it is about the same volume");
        require(again->definition->source == definition->source, "and the same share");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t step = data[0] == 0 ? size : data[0];
    std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
    take_body(std::string(rest));
    http::RequestReader reader({2048, 16, 4096});
    while (!rest.empty()) {
        reader.feed(rest.substr(0, step));
        rest.remove_prefix(std::min(step, rest.size()));
        while (reader.progress() == http::RequestReader::Progress::ready) {
            auto request = reader.take();
            require(request.body.size() <= 4096, "bodies have a limit");
            take_body(std::move(request.body));
        }
        require(reader.kept() <= 2048 + 20, "what has no end yet has a limit");
        (void)reader.take_expectation();
    }
    return 0;
}
