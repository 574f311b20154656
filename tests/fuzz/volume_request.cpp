// SPDX-License-Identifier: Apache-2.0
// For libFuzzer: whatever arrives on a plugin's socket. The first byte says how the rest is cut;
// all of it goes through the HTTP reader, and every body through JSON, options and the state file.
#include "plugins/core/driver_call.hpp"
#include "plugins/core/store_json.hpp"
#include "plugins/http/request_reader.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace uidnfs::plugins;

void take_body(std::string body) {
    auto call = parse_call(body);
    if (!body.empty()) std::abort();  // it may hold a password
    if (!call) return;
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        const auto definition = make_definition(dialect, call->words, call->problems);
        OptionRules rules;
        rules.identity = OptionRules::Identity::either;
        (void)check_options(*definition, dialect, rules);
        const VolumeKey key{dialect, call->name};
        if (directory_name(key).find('/') != std::string::npos) std::abort();
        const auto again = parse_definition(to_json(key, *definition));
        if (!again || again->key != key || again->definition->source != definition->source) {
            std::abort();
        }
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
            if (request.body.size() > 4096) std::abort();
            take_body(std::move(request.body));
        }
        (void)reader.take_expectation();
    }
    return 0;
}
