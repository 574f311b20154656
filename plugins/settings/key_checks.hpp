// SPDX-License-Identifier: Apache-2.0
// What a text of the configuration must be: each function gives "why not; what to do", or nothing
// when the text can be used. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace uidnfs::plugins::checks {

std::string any_text(std::string_view text);  ///< no control characters, not empty
std::string maybe_text(std::string_view text);
std::string path(std::string_view text);  ///< absolute, without "//", "." and ".."
std::string socket_path(std::string_view text);  ///< such a path that fits into a sockaddr_un
std::string maybe_path(std::string_view text);
std::string destination(std::string_view text);  ///< "journal" or a path
std::string listen(std::string_view text);       ///< "127.0.0.1:7589", "[::1]:7589"
std::string maybe_listen(std::string_view text);
std::string file_name(std::string_view text);  ///< a name without '/', as a driver has it
std::string user(std::string_view text);       ///< as useradd(8) takes it, or a number
std::string id_range(std::string_view text);
std::string source(std::string_view text);
std::string callers_option(std::string_view text);  ///< a mount option that callers may set

struct Listen {
    std::string host;
    std::uint16_t port = 0;
};
/// Nothing when listen() would complain.
std::optional<Listen> parse_listen(std::string_view text);

}  // namespace uidnfs::plugins::checks
