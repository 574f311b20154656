// SPDX-License-Identifier: Apache-2.0
// Mount options and sources, URLs too: a request that keeps its promises, or one printable line
// that says why not. Input: the source, a line feed, and what follows -o.
#include "config/mount_options.hpp"
#include "fuzz/fuzz.hpp"

#include <algorithm>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs;
    using namespace uidnfs::config;
    using fuzz::require;
    const auto text = fuzz::as_text(data, size);
    const auto line = std::min(text.find('\n'), text.size());
    const auto source = text.substr(0, line);
    const auto rest = text.substr(std::min(line + 1, text.size()));
    const auto request = parse_mount_request(source, split_option_string(rest, "-o"));
    if (!request) {
        const auto& why = request.error().user_text;
        require(!why.empty(), "a refusal has a reason");
        require(fuzz::is_one_printable_line(why), "a reason is one printable line");
        return 0;
    }
    const auto& options = request->options;
    require(options.gids.size() <= 16, "AUTH_SYS carries 16 groups");
    if (options.identity == IdentityMode::fixed) {
        require(options.uid && options.gid, "there is an identity");
    }
    if (options.allow_root_identity == Switch::off) {
        require(options.uid != 0u && options.gid != 0u, "root is refused");
        require(std::count(options.gids.begin(), options.gids.end(), 0u) == 0, "root's group too");
    }
    require(options.rsize <= 1u << 20 && options.wsize <= 1u << 20, "at most 1 MiB at once");
    require(!request->source.host.empty(), "there is a server");
    const auto& path = request->source.export_path;
    require(path.starts_with('/') && path.size() <= 1024, "an export is absolute");
    require(path.find("//") == std::string::npos, "one spelling: no //");
    require((path + "/").find("/../") == std::string::npos, "one spelling: no ..");
    require((path + "/").find("/./") == std::string::npos, "one spelling: no .");

    // What is shown can be given again, and means the same.
    std::vector<RawOption> again;
    for (const auto& [name, value] : request->effective) {
        again.push_back({name, value.empty() ? std::nullopt : std::optional(value), "again"});
    }
    const auto second = parse_mount_request(request->source.display(), again);
    require(second.has_value(), "effective options are options");
    require(second->effective == request->effective, "effective options mean themselves");
    return 0;
}
