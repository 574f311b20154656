// SPDX-License-Identifier: Apache-2.0
#include "app/recovery_file.hpp"

#include "app/names.hpp"

#include <boost/crc.hpp>
#include <boost/json.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

namespace uidnfs::app {
namespace {

namespace json = boost::json;

constexpr std::string_view kMagic = "uidnfsR1";
constexpr std::string_view kMagicOfAll = "uidnfsR";
constexpr std::uint64_t kMaxJson = 256ull << 20;
constexpr std::size_t kNumber = 8;
constexpr int kMostOfOneName = 100;
/// "2026-01-31T12:00:00Z"
constexpr std::size_t kTime = 20;

/// CRC-64/XZ.
using Crc =
    boost::crc_optimal<64, 0x42F0E1EBA9EA3693, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, true, true>;

/// A mount point as a part of a file's name.
std::string plain_name(std::string_view mountpoint) {
    constexpr std::size_t kLongest = 100;
    std::string name;
    for (const char c : mountpoint.substr(std::min<std::size_t>(1, mountpoint.size()))) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '.' || c == '_';
        name += plain ? c : '-';
    }
    if (name.size() > kLongest) name.erase(0, name.size() - kLongest);
    return name;
}

std::array<std::byte, kNumber> to_bytes(std::uint64_t number) {
    std::array<std::byte, kNumber> bytes;
    for (auto& byte : bytes) {
        byte = static_cast<std::byte>(number & 0xff);
        number >>= 8;
    }
    return bytes;
}

std::uint64_t to_number(const std::byte* bytes) {
    std::uint64_t number = 0;
    for (std::size_t i = kNumber; i-- > 0;)
        number = number << 8 | std::to_integer<unsigned>(bytes[i]);
    return number;
}

std::string to_hex(std::span<const std::byte> bytes) {
    std::string out;
    for (const auto byte : bytes) out += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return out;
}

std::vector<std::byte> from_hex(std::string_view text) {
    std::vector<std::byte> out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        const std::string pair(text.substr(i, 2));
        out.push_back(static_cast<std::byte>(std::strtoul(pair.c_str(), nullptr, 16)));
    }
    return out;
}

class Writer {
public:
    explicit Writer(int fd) : fd_(fd) {}

    bool put(std::span<const std::byte> bytes) {
        crc_.process_bytes(bytes.data(), bytes.size());
        return put_raw(bytes);
    }
    bool put(std::string_view text) { return put(std::as_bytes(std::span(text))); }
    bool end() { return put_raw(to_bytes(crc_.checksum())) && ::fsync(fd_) == 0; }

private:
    bool put_raw(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const auto done = ::write(fd_, bytes.data(), bytes.size());
            if (done < 0 && errno == EINTR) continue;
            if (done < 0) return false;
            bytes = bytes.subspan(static_cast<std::size_t>(done));
        }
        return true;
    }

    int fd_;
    Crc crc_;
};

json::object to_json(const RecoveryIdentity& identity) {
    json::array groups;
    for (const auto group : identity.groups) groups.emplace_back(group);
    return {{"uid", identity.uid}, {"gid", identity.gid}, {"groups", std::move(groups)}};
}

json::object to_json(const Recovery& recovery) {
    json::array entries;
    for (const auto& entry : recovery.entries) {
        json::array ranges;
        for (const auto& range : entry.ranges) {
            ranges.push_back(
                {{"offset", range.offset},
                 {"length", range.length},
                 {"identity", to_json(range.identity)}}
            );
        }
        entries.push_back(
            {{"path", entry.path},
             {"fileid", entry.fileid},
             {"handle", to_hex(entry.handle)},
             {"ctime", entry.ctime},
             {"ranges", std::move(ranges)}}
        );
    }
    json::array options;
    for (const auto& option : recovery.options) options.emplace_back(option);
    json::object out{
        {"source", recovery.source},
        {"options", std::move(options)},
        {"mountpoint", recovery.mountpoint},
        {"when", recovery.when},
        {"files", std::move(entries)}};
    if (!recovery.damage.empty()) out.emplace("damage", recovery.damage);
    return out;
}

std::uint64_t number(const json::object& object, const char* name) {
    return object.at(name).to_number<std::uint64_t>();
}
std::uint32_t small_number(const json::value& value) { return value.to_number<std::uint32_t>(); }
std::string text(const json::object& object, const char* name) {
    return std::string(object.at(name).as_string());
}

/// Throws where the JSON is not as to_json() makes it, or where the bytes are not all there.
Recovery from_json(const json::object& object, std::span<const std::byte> bytes) {
    Recovery recovery;
    recovery.source = text(object, "source");
    recovery.mountpoint = text(object, "mountpoint");
    recovery.when = text(object, "when");
    if (object.contains("damage")) recovery.damage = text(object, "damage");
    for (const auto& option : object.at("options").as_array()) {
        recovery.options.emplace_back(option.as_string());
    }
    for (const auto& file : object.at("files").as_array()) {
        const auto& fields = file.as_object();
        RecoveryEntry entry{
            text(fields, "path"),
            number(fields, "fileid"),
            from_hex(text(fields, "handle")),
            number(fields, "ctime"),
            {}};
        for (const auto& piece : fields.at("ranges").as_array()) {
            const auto& range = piece.as_object();
            const auto& who = range.at("identity").as_object();
            RecoveryRange out{number(range, "offset"), number(range, "length"), {}};
            out.identity.uid = small_number(who.at("uid"));
            out.identity.gid = small_number(who.at("gid"));
            for (const auto& group : who.at("groups").as_array()) {
                out.identity.groups.push_back(small_number(group));
            }
            if (out.length > bytes.size()) throw std::out_of_range("bytes");
            out.pieces.push_back(bytes.first(out.length));
            bytes = bytes.subspan(out.length);
            entry.ranges.push_back(std::move(out));
        }
        recovery.entries.push_back(std::move(entry));
    }
    if (!bytes.empty()) throw std::out_of_range("bytes");
    return recovery;
}

/// "mnt-2026-7.recovery", "mnt-2026-7-2.recovery": keepers of several containers have the same
/// process id, and may end in the same second.
std::string with_number(const std::string& name, int number) {
    if (number == 1) return name;
    const auto end = std::min(name.rfind('.'), name.size());
    return fmt::format("{}-{}{}", name.substr(0, end), number, name.substr(end));
}

core::Failure cannot_read(const std::string& path, std::string_view why) {
    return {EINVAL, fmt::format("cannot recover {}: {}", printable(path), why)};
}

core::Failure cannot_open(const std::string& path, int code) {
    switch (code) {
        case ENOENT:
        case ENOTDIR:
            return cannot_read(
                path,
                fmt::format(
                    "there is no such file; what mounts could not write is in {}, where none was "
                    "chosen for them",
                    printable(default_recovery_directory())
                )
            );
        case EACCES:
        case EPERM:
            return cannot_read(
                path,
                fmt::format(
                    "{}; it belongs to whoever made the mount: run as that user, or as root",
                    describe_errno(code)
                )
            );
        default: return cannot_read(path, describe_errno(code));
    }
}

core::Failure cannot_keep(const std::string& path, int code) {
    return {
        code,
        fmt::format(
            "what was not written cannot be kept in {}: {}", printable(path), describe_errno(code)
        )};
}

}  // namespace

std::string RecoveryEntry::describe() const {
    return fmt::format(
        "{} (fileid {})", path.empty() ? "a file without a name" : printable(path), fileid
    );
}

std::uint64_t Recovery::bytes() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& entry : entries) {
        for (const auto& range : entry.ranges) sum += range.length;
    }
    return sum;
}

core::Result<void> write_recovery(int fd, const Recovery& recovery) {
    const auto head = json::serialize(to_json(recovery));
    Writer writer(fd);
    bool done = writer.put(kMagic) && writer.put(to_bytes(head.size())) && writer.put(head);
    for (const auto& entry : recovery.entries) {
        for (const auto& range : entry.ranges) {
            for (const auto& piece : range.pieces) done = done && writer.put(piece);
        }
    }
    if (!done || !writer.end()) return core::Error(errno);
    return {};
}

core::Outcome<RecoveryFile> RecoveryFile::open(const std::string& path) {
    // A pipe by that name is not waited for.
    const core::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file) return cannot_open(path, errno);
    struct stat st {};
    if (::fstat(file.get(), &st) != 0) return cannot_read(path, describe_errno(errno));
    if (!S_ISREG(st.st_mode)) return cannot_read(path, "it is not a regular file");
    const auto size = static_cast<std::size_t>(st.st_size);
    if (size < kMagic.size() + 2 * kNumber) return cannot_read(path, "it is no recovery file");
    void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (memory == MAP_FAILED) return cannot_read(path, describe_errno(errno));
    RecoveryFile out(static_cast<const std::byte*>(memory), size);
    const std::string_view magic(static_cast<const char*>(memory), kMagic.size());
    if (!magic.starts_with(kMagicOfAll)) return cannot_read(path, "it is no recovery file");
    if (magic != kMagic) {
        return cannot_read(
            path, "another version of uidnfs wrote it; use that one, or a newer one"
        );
    }
    Crc crc;
    crc.process_bytes(memory, size - kNumber);
    if (crc.checksum() != to_number(out.memory_ + size - kNumber)) {
        return cannot_read(path, "it is damaged or incomplete (its checksum does not fit)");
    }
    const auto length = to_number(out.memory_ + kMagic.size());
    const auto body = kMagic.size() + kNumber;
    if (length > kMaxJson || length > size - kNumber - body) {
        return cannot_read(path, "it is damaged (its description does not fit)");
    }
    const std::string_view head(static_cast<const char*>(memory) + body, length);
    boost::system::error_code error;
    // Names of files are bytes, and stand there as they are.
    const json::parse_options as_written{.allow_invalid_utf8 = true};
    const auto parsed = json::parse(head, error, {}, as_written);
    if (error || !parsed.is_object()) {
        return cannot_read(path, "it is damaged (its description cannot be read)");
    }
    try {
        const std::span bytes(out.memory_ + body + length, size - kNumber - body - length);
        out.contents_ = from_json(parsed.as_object(), bytes);
    } catch (const std::exception&) {
        return cannot_read(path, "it is damaged (its description is not complete)");
    }
    return out;
}

RecoveryFile::RecoveryFile(RecoveryFile&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      size_(other.size_),
      contents_(std::move(other.contents_)) {}

RecoveryFile::~RecoveryFile() {
    if (memory_) ::munmap(const_cast<std::byte*>(memory_), size_);
}

core::Outcome<core::Fd> open_recovery_directory(const std::string& directory) {
    // Each part of the path that is missing; others may look into what is above, not into ours.
    for (auto slash = directory.find('/', 1); slash != directory.npos;
         slash = directory.find('/', slash + 1)) {
        static_cast<void>(::mkdir(directory.substr(0, slash).c_str(), 0755));
    }
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
        return cannot_keep(directory, errno);
    }
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    core::Fd opened(::open(directory.c_str(), flags));
    if (!opened) return cannot_keep(directory, errno);
    struct stat st {};
    if (::fstat(opened.get(), &st) != 0) return cannot_keep(directory, errno);
    if (st.st_uid != ::geteuid() || (st.st_mode & 022)) return cannot_keep(directory, EPERM);
    return opened;
}

core::Outcome<NewRecoveryFile> NewRecoveryFile::create(
    const std::string& directory, const std::string& name
) {
    auto opened = open_recovery_directory(directory);
    if (!opened) return opened.error();
    NewRecoveryFile out;
    out.path_ = directory;
    out.directory_ = std::move(*opened);
    for (int number = 1;; ++number) {
        out.name_ = with_number(name, number);
        out.file_ = core::Fd(::openat(
            out.directory_.get(),
            out.temporary().c_str(),
            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
            0600
        ));
        const int code = out.file_ ? 0 : errno;
        // Whoever has the temporary name is the only one to give the other one.
        const bool is_free =
            ::faccessat(out.directory_.get(), out.name_.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0;
        if (out.file_ && is_free) return out;
        if (!out.file_ && (code != EEXIST || number >= kMostOfOneName)) {
            return cannot_keep(directory, code);
        }
        if (out.file_) ::unlinkat(out.directory_.get(), out.temporary().c_str(), 0);
    }
}

NewRecoveryFile::~NewRecoveryFile() {
    if (file_) ::unlinkat(directory_.get(), temporary().c_str(), 0);
}

core::Outcome<std::string> NewRecoveryFile::keep() {
    const int directory = directory_.get();
    if (::renameat(directory, temporary().c_str(), directory, name_.c_str()) != 0 ||
        ::fsync(directory) != 0) {
        return cannot_keep(path_, errno);
    }
    file_.reset();
    return path_ + "/" + name_;
}

std::string recovery_name(std::string_view mountpoint, std::string_view when, std::uint32_t pid) {
    return fmt::format("{}-{}-{}.recovery", plain_name(mountpoint), when, pid);
}

std::vector<std::string> recovery_files_of(
    const std::string& directory, std::string_view mountpoint
) {
    const auto begin = plain_name(mountpoint) + "-";
    std::vector<std::string> found;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
        const auto name = at->path().filename().string();
        if (!name.starts_with(begin) || !name.ends_with(".recovery")) continue;
        // "/mnt/a" is not "/mnt/a/2026": behind the name comes the time, as utc_time() writes it.
        const auto rest = std::string_view(name).substr(begin.size());
        if (rest.size() > kTime && rest[4] == '-' && rest[10] == 'T' && rest[kTime] == '-') {
            found.push_back(at->path().string());
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::string default_recovery_directory() {
    if (::geteuid() == 0) return "/var/lib/uidnfs/recovery";
    const char* state = std::getenv("XDG_STATE_HOME");
    if (state && state[0] == '/') return std::string(state) + "/uidnfs/recovery";
    const char* home = std::getenv("HOME");
    std::array<char, 4096> space;
    passwd entry{};
    passwd* found = nullptr;
    if (!home || home[0] != '/') {
        ::getpwuid_r(::geteuid(), &entry, space.data(), space.size(), &found);
        home = found ? found->pw_dir : "/tmp";
    }
    const std::string_view below(home);
    return std::string(below == "/" ? "" : below) + "/.local/state/uidnfs/recovery";
}

}  // namespace uidnfs::app
