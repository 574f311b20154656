// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/credentials.hpp"

#include "core/fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace uidnfs::plugins {
namespace {

constexpr std::size_t kMaxFile = 4096;

/// The bytes of the file, wiped when this dies.
struct Buffer {
    std::array<char, kMaxFile + 1> bytes{};
    std::size_t size = 0;
    ~Buffer() { explicit_bzero(bytes.data(), bytes.size()); }
};

core::Failure fail(const std::string& name, int code, std::string_view why) {
    return {code, fmt::format("cannot use credentials={}: {}", name, why)};
}

int read_file(const std::string& path, Buffer& buffer) {
    const core::Fd fd(
        ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
    );
    if (!fd) return errno;
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return errno;
    if (!S_ISREG(st.st_mode)) return EINVAL;
    const bool is_ours = st.st_uid == 0 || st.st_uid == ::geteuid();
    const bool is_group_trusted = st.st_gid == 0 || st.st_gid == ::getegid();
    const mode_t forbidden = is_group_trusted ? 027 : 077;
    if (!is_ours || (st.st_mode & forbidden) != 0) return EPERM;
    while (buffer.size < buffer.bytes.size()) {
        const auto got =
            ::read(fd.get(), buffer.bytes.data() + buffer.size, buffer.bytes.size() - buffer.size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) return 0;
        buffer.size += static_cast<std::size_t>(got);
    }
    return EFBIG;
}

}  // namespace

core::Outcome<Login> read_credentials(const std::string& directory, const std::string& name) {
    Buffer buffer;
    switch (const int code = read_file(directory + "/" + name, buffer); code) {
        case 0: break;
        case ENOENT: return fail(name, code, "the operator made no such file; check the name");
        case EPERM:
            return fail(
                name,
                code,
                "others could read or change the file; the operator must make it root's, mode 0640 "
                "or less, with the group of the service"
            );
        default:
            return fail(name, code, fmt::format("{}; tell the operator", strerrordesc_np(code)));
    }
    Login login;
    std::string_view rest(buffer.bytes.data(), buffer.size);
    while (!rest.empty()) {
        const auto end = std::min(rest.find('\n'), rest.size());
        auto line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        constexpr std::string_view kUser = "username=";
        constexpr std::string_view kPassword = "password=";
        if (line.empty() || line.starts_with('#')) continue;
        if (line.starts_with(kUser)) {
            login.username = line.substr(kUser.size());
        } else if (line.starts_with(kPassword)) {
            login.password = core::Secret(line.substr(kPassword.size()));
        } else {
            return fail(
                name, EINVAL, "a line is neither username= nor password=; tell the operator"
            );
        }
    }
    if (login.username.empty() || login.password.empty()) {
        return fail(name, EINVAL, "username= or password= is missing in it; tell the operator");
    }
    return login;
}

}  // namespace uidnfs::plugins
