// SPDX-License-Identifier: Apache-2.0
#include "ldap/cache_file.hpp"

#include "core/fd.hpp"
#include "ldap/entry.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace uidnfs::ldap {
namespace {

constexpr std::string_view kVersion = "uidnfs-identities 1";
constexpr off_t kMostBytes = 64 << 20;

/// Bytes that are not printable ASCII, and our separators, as %xx.
std::string encode(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte > 0x20 && byte < 0x7f && c != '%' && c != ',' && c != ':') {
            out += c;
        } else {
            out += fmt::format("%{:02x}", byte);
        }
    }
    return out;
}

bool decode(std::string_view text, std::string& out) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        unsigned byte = 0;
        if (i + 2 >= text.size()) return false;
        const auto* from = text.data() + i + 1;
        const auto [end, error] = std::from_chars(from, from + 2, byte, 16);
        if (error != std::errc{} || end != from + 2) return false;
        out += static_cast<char>(byte);
        i += 2;
    }
    return true;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const auto at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

bool read_number(std::string_view text, std::int64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size();
}

bool read_id(std::string_view text, std::uint32_t& id) {
    const auto parsed = parse_id(text);
    const auto* value = std::get_if<std::uint32_t>(&parsed);
    if (value != nullptr) id = *value;
    return value != nullptr;
}

bool read_left_out(std::string_view text, std::vector<LeftOut>& all) {
    if (text == "-") return true;
    for (const auto part : split(text, ',')) {
        const auto fields = split(part, ':');
        std::int64_t why = 0;
        LeftOut one{};
        if (fields.size() != 3 || !read_number(fields[0], why) || why < 0 ||
            why > static_cast<int>(LeftOut::Why::not_an_id) || !decode(fields[1], one.gid) ||
            !decode(fields[2], one.name)) {
            return false;
        }
        one.why = static_cast<LeftOut::Why>(why);
        all.push_back(std::move(one));
    }
    return true;
}

/// user uid gid groups left-out seconds server dn
bool read_line(std::string_view line, Identity& identity) {
    const auto fields = split(line, ' ');
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::int64_t seconds = 0;
    if (fields.size() != 8 || !decode(fields[0], identity.user) || !read_id(fields[1], uid) ||
        !read_id(fields[2], gid) || !read_number(fields[5], seconds) ||
        !decode(fields[6], identity.server) || !decode(fields[7], identity.dn)) {
        return false;
    }
    identity.uid = mapper::ServerUid(uid);
    identity.gid = mapper::ServerGid(gid);
    if (fields[3] != "-") {
        for (const auto part : split(fields[3], ',')) {
            std::uint32_t group = 0;
            if (!read_id(part, group)) return false;
            identity.groups.emplace_back(group);
        }
    }
    identity.verified_at = std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
    return !identity.user.empty() && identity.groups.size() <= kMaxGroups &&
           read_left_out(fields[4], identity.left_out);
}

core::Failure failure(const char* what, const std::string& path) {
    const int code = errno;
    return {code, fmt::format("{} {}: {}", what, path, std::strerror(code))};
}

}  // namespace

std::string fingerprint(const Options& options) {
    std::string text;
    const auto add = [&](std::string_view part) { text += encode(part) + '\n'; };
    for (const auto& url : options.urls) add(url);
    add("-");
    for (const auto& part :
         {options.bind_dn,
          options.user_base,
          options.user_filter,
          options.group_base,
          options.group_filter,
          options.attributes.uid,
          options.attributes.gid,
          options.attributes.group_gid,
          options.attributes.member_of}) {
        add(part);
    }
    add(options.default_gid ? std::to_string(*options.default_gid) : "-");
    for (const auto gid : options.prefer_groups) add(std::to_string(gid));
    add(fmt::format(
        "{} {} {}",
        int{options.gid_from_uid},
        int{options.allow_root_identity},
        int{options.verify_password}
    ));
    std::array<unsigned char, 16> hash;
    crypto_generichash(
        hash.data(),
        hash.size(),
        reinterpret_cast<const unsigned char*>(text.data()),
        text.size(),
        nullptr,
        0
    );
    std::string out;
    for (const auto byte : hash) out += fmt::format("{:02x}", byte);
    return out;
}

std::string write_identities(
    const std::vector<Identity>& identities, std::string_view fingerprint
) {
    auto out = fmt::format("{} {}\n", kVersion, fingerprint);
    for (const auto& identity : identities) {
        std::string groups;
        for (const auto group : identity.groups) {
            groups += fmt::format("{}{}", groups.empty() ? "" : ",", group.value());
        }
        std::string left_out;
        for (const auto& one : identity.left_out) {
            left_out += fmt::format(
                "{}{}:{}:{}",
                left_out.empty() ? "" : ",",
                static_cast<int>(one.why),
                encode(one.gid),
                encode(one.name)
            );
        }
        out += fmt::format(
            "{} {} {} {} {} {} {} {}\n",
            encode(identity.user),
            identity.uid.value(),
            identity.gid.value(),
            groups.empty() ? "-" : groups,
            left_out.empty() ? "-" : left_out,
            std::chrono::duration_cast<std::chrono::seconds>(identity.verified_at.time_since_epoch()
            )
                .count(),
            encode(identity.server),
            encode(identity.dn)
        );
    }
    return out;
}

core::Outcome<std::vector<Identity>> read_identities(
    std::string_view text, std::string_view fingerprint
) {
    auto lines = split(text, '\n');
    if (lines.size() < 2 || !lines.back().empty()) {
        return core::Failure{EINVAL, "it is not complete"};
    }
    lines.pop_back();
    if (lines.front() != fmt::format("{} {}", kVersion, fingerprint)) {
        return core::Failure{ESTALE, "it is of another version or another configuration"};
    }
    std::vector<Identity> identities;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        Identity identity;
        if (!read_line(lines[i], identity)) {
            return core::Failure{EINVAL, fmt::format("line {} is damaged", i + 1)};
        }
        identities.push_back(std::move(identity));
    }
    return identities;
}

core::Outcome<void> save_file(const std::string& path, std::string_view text) {
    const auto beside = path + ".new";
    // What an earlier process left there may have another mode: never written through.
    if (::unlink(beside.c_str()) != 0 && errno != ENOENT) return failure("cannot replace", beside);
    const core::Fd fd(
        ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)
    );
    if (!fd) return failure("cannot create", beside);
    while (!text.empty()) {
        const auto n = ::write(fd.get(), text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return failure("cannot write", beside);
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(fd.get()) != 0) return failure("cannot sync", beside);
    if (::rename(beside.c_str(), path.c_str()) != 0) return failure("cannot rename to", path);
    const auto slash = path.rfind('/');
    const auto folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const core::Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0) return failure("cannot sync", folder);
    return core::Outcome<void>();
}

core::Outcome<std::string> load_file(const std::string& path) {
    const core::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return failure("cannot open", path);
    struct stat about {};
    if (::fstat(fd.get(), &about) != 0) return failure("cannot stat", path);
    if (!S_ISREG(about.st_mode) || about.st_uid != ::geteuid() || (about.st_mode & 077) != 0) {
        return core::Failure{
            EPERM, fmt::format("{} is not a file that only this service can read and write", path)};
    }
    if (about.st_size > kMostBytes) return core::Failure{EFBIG, path + " is too large"};
    std::string text(static_cast<std::size_t>(about.st_size), '\0');
    std::size_t done = 0;
    while (done < text.size()) {
        const auto n = ::read(fd.get(), text.data() + done, text.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failure("cannot read", path);
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    text.resize(done);
    return text;
}

}  // namespace uidnfs::ldap
