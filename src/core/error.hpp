// SPDX-License-Identifier: Apache-2.0
// Errors as values. `Result<T>` is for the hot path: a trivially copyable Error. `Outcome<T>` is
// for the control path (mounting, options, commands), where a person reads the text.
#pragma once

#include <boost/system/result.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace uidnfs::core {

/// Which layer found the error; `Error::detail` is in the words of that layer.
enum class ErrorSource : std::uint8_t {
    local,     ///< found by ourselves; detail is 0
    socket,    ///< a system call on a socket; detail is its errno
    rpc,       ///< RFC 5531: detail is a reply, accept or auth status (see nfs/rpc/status.hpp)
    nfs,       ///< RFC 1813: detail is the nfsstat3
    mount,     ///< RFC 1813 appendix I: detail is the mountstat3
    portmap,   ///< RFC 1833
    protocol,  ///< the peer sent what the protocol does not allow; detail is 0
};

/// An errno for the application, and where it came from for the log.
class Error {
public:
    /// Code 0; only what result<> needs to exist.
    constexpr Error() noexcept = default;
    /// Only from an int, so that Result<std::uint32_t> knows a value from an error.
    template <std::same_as<int> Code>
    explicit constexpr Error(
        Code code, ErrorSource source = ErrorSource::local, std::uint32_t detail = 0
    ) noexcept
        : code_(code), detail_(detail), source_(source) {}

    /// errno(3) value, positive.
    constexpr int code() const noexcept { return code_; }
    constexpr ErrorSource source() const noexcept { return source_; }
    constexpr std::uint32_t detail() const noexcept { return detail_; }

    friend constexpr bool operator==(const Error&, const Error&) noexcept = default;

private:
    int code_ = 0;
    std::uint32_t detail_ = 0;
    ErrorSource source_ = ErrorSource::local;
};

template <class T>
using Result = boost::system::result<T, Error>;

/// "EACCES: Permission denied (nfs status 13)"; for logs, not for people who mount.
std::string to_string(const Error& error);
/// "nfs", "rpc", ...
std::string_view to_string(ErrorSource source) noexcept;

/// What went wrong on the control path. `user_text` follows the pattern "what was tried, on what:
/// why not; what to do" and never holds a secret; `operator_text` may add addresses and codes.
struct Failure {
    int code = 1;  ///< errno(3) where one fits, else EINVAL
    std::string user_text;
    std::string operator_text = {};
};

template <class T>
using Outcome = boost::system::result<T, Failure>;

/// Called by result::value() on an error; ends at the outermost handler.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location&);
[[noreturn]] void throw_exception_from_error(const Failure& failure, const boost::source_location&);

}  // namespace uidnfs::core
