// SPDX-License-Identifier: Apache-2.0
#include "app/recover_write.hpp"

#include "app/names.hpp"
#include "core/buffer.hpp"
#include "fs/stamp.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace uidnfs::app {
namespace {

using Conflicts = RecoverArguments::Conflicts;

constexpr std::string_view kChanged =
    "it was changed on the server since; compare it, then use --force";
constexpr std::string_view kGone =
    "it is not on the server any more; --force writes to what has its path now, or makes it";
constexpr std::string_view kNotBelow = "it is not below that directory; --force makes it";

constexpr int kPutOffCode = EAGAIN;
constexpr std::string_view kPutOff =
    "the server puts the calls off (NFS3ERR_JUKEBOX); try again when it has started, or has its "
    "files back";

std::string why(const core::Error& error) {
    if (error.code() == kPutOffCode) return std::string(kPutOff);
    return describe_errno(error.code());
}

/// Bytes that somebody else owns for as long as a call takes.
class Borrowed final : public core::SharedMemory {
    void recycle() noexcept override {}
};

class ToServer {
public:
    ToServer(
        nfs::Client& client,
        const fs::Options& options,
        Conflicts conflicts,
        RecoverTold& told,
        const std::function<void()>& wait_no_more
    )
        : client_(client),
          options_(options),
          conflicts_(conflicts),
          told_(told),
          wait_no_more_(wait_no_more) {}

    core::Task<void> entry(const RecoveryEntry& entry) {
        const auto context = context_of(entry.ranges.front().identity);
        if (!context) co_return told_.refused(entry, context.error().user_text);
        auto finding = find(entry, *context);
        const auto target = co_await finding;
        if (!target) co_return;
        auto writing = write(entry, *target);
        const auto written = co_await writing;
        if (!written) {
            refuse(entry, written.error());
        } else {
            told_.written(entry);
        }
    }

private:
    void refuse(const RecoveryEntry& entry, const core::Error& error) {
        // For one it was waited long enough for all; others may not be on a tape.
        if (error.code() == kPutOffCode) wait_no_more_();
        told_.refused(entry, why(error));
    }

    core::Outcome<nfs::CallContext> context_of(const RecoveryIdentity& identity) const {
        mapper::Credential::Identity out{
            mapper::ServerUid(identity.uid), mapper::ServerGid(identity.gid), {}};
        for (const auto group : identity.groups) out.groups.emplace_back(group);
        const auto& own = options_.credential;
        // As the mount did: root only where it is allowed, or is the mount's own.
        const auto root = identity.uid != 0 || own->uid().value() == 0
                              ? mapper::RootIdentity::allowed
                              : options_.root_identity;
        auto made = mapper::Credential::make(std::move(out), own->machine_name(), root);
        if (!made) return made.error();
        return nfs::CallContext{std::move(*made)};
    }

    /// The file to write to; nothing when it was told why not, or that all is there.
    core::Task<std::optional<nfs::OpenRef>> find(
        const RecoveryEntry& entry, nfs::CallContext context
    ) {
        const nfs::FileHandle handle(entry.handle);
        auto asking = client_.getattr(context, handle);
        const auto attr = co_await asking;
        // Without a link it is gone: the server only has it open still.
        const bool is_same = attr && attr->fileid == entry.fileid && attr->nlink > 0 &&
                             attr->type == nfs::FileType::regular;
        if (!attr && attr.error().code() != ESTALE && attr.error().code() != ENOENT) {
            refuse(entry, attr.error());
            co_return std::nullopt;
        }
        if (!is_same) {
            if (conflicts_ == Conflicts::refused) {
                told_.refused(entry, kGone);
                co_return std::nullopt;
            }
            auto finding = by_path(entry, context);
            co_return co_await finding;
        }
        const nfs::OpenRef file{handle};
        const auto now = fs::ctime_word(attr->ctime);
        if (now == entry.ctime) co_return file;
        // By ourselves, perhaps: the last WRITEs may have arrived without an answer.
        auto comparing = has_all(entry, file, context);
        const auto is_there = co_await comparing;
        if (!is_there) {
            refuse(entry, is_there.error());
            co_return std::nullopt;
        }
        if (*is_there) {
            told_.is_there(entry);
            co_return std::nullopt;
        }
        if (conflicts_ == Conflicts::overwritten) co_return file;
        told_.refused(entry, kChanged);
        co_return std::nullopt;
    }

    core::Task<std::optional<nfs::OpenRef>> by_path(
        const RecoveryEntry& entry, nfs::CallContext context
    ) {
        auto at = client_.root();
        std::string_view rest = entry.path;
        if (rest.empty()) {
            told_.refused(entry, "it is gone, and its path is not known");
            co_return std::nullopt;
        }
        while (!rest.empty()) {
            const auto name = std::string(rest.substr(0, rest.find('/')));
            rest.remove_prefix(std::min(rest.size(), name.size() + 1));
            auto looking = client_.lookup(context, at, name);
            const auto found = co_await looking;
            if (found) {
                at = found->handle;
                continue;
            }
            std::optional<nfs::FileHandle> made;
            core::Error error = found.error();
            if (rest.empty() && error.code() == ENOENT) {
                nfs::SetAttr attributes;
                attributes.mode = 0600;
                const nfs::Verifier none{};
                auto making =
                    client_.create(context, at, name, nfs::CreateHow::guarded, attributes, none);
                const auto created = co_await making;
                if (created) made = created->handle;
                if (!created) error = created.error();
            }
            if (!made) {
                refuse(entry, error);
                co_return std::nullopt;
            }
            at = *made;
        }
        co_return nfs::OpenRef{at};
    }

    /// What its writer may not read is not known to be there.
    core::Task<core::Result<bool>> has_all(
        const RecoveryEntry& entry, nfs::OpenRef file, nfs::CallContext context
    ) {
        for (const auto& range : entry.ranges) {
            auto offset = range.offset;
            for (auto bytes : range.pieces) {
                while (!bytes.empty()) {
                    const auto count = static_cast<std::uint32_t>(
                        std::min<std::size_t>(bytes.size(), client_.fs_info().read_max)
                    );
                    auto reading = client_.read(context, file, offset, count);
                    const auto read = co_await reading;
                    if (!read && read.error().code() == EACCES) co_return false;
                    if (!read) co_return read.error();
                    if (read->data.size() == 0 || read->data.size() > bytes.size()) {
                        co_return false;
                    }
                    const auto size = read->data.size();
                    if (std::memcmp(read->data.data(), bytes.data(), size) != 0) co_return false;
                    bytes = bytes.subspan(size);
                    offset += size;
                }
            }
        }
        co_return true;
    }

    core::Task<core::Result<void>> write(const RecoveryEntry& entry, nfs::OpenRef file) {
        Borrowed memory;
        memory.retain();
        for (const auto& range : entry.ranges) {
            const auto context = context_of(range.identity);
            if (!context) co_return core::Error(context.error().code);
            auto offset = range.offset;
            for (auto bytes : range.pieces) {
                while (!bytes.empty()) {
                    const auto count =
                        std::min<std::size_t>(bytes.size(), client_.fs_info().write_max);
                    const core::Slice slice(memory, bytes.data(), count);
                    auto writing = client_.write(
                        *context, file, offset, {&slice, 1}, nfs::Stability::file_sync
                    );
                    const auto reply = co_await writing;
                    if (!reply) co_return reply.error();
                    if (reply->count == 0 || reply->committed == nfs::Stability::unstable) {
                        co_return core::Error(EIO);
                    }
                    bytes = bytes.subspan(reply->count);
                    offset += reply->count;
                }
            }
        }
        co_return core::Result<void>();
    }

    nfs::Client& client_;
    const fs::Options& options_;
    Conflicts conflicts_;
    RecoverTold& told_;
    const std::function<void()>& wait_no_more_;
};

/// Without leaving `directory`, through whatever link it might be.
core::Fd open_below(int directory, const std::string& path, int flags) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.mode = flags & O_CREAT ? 0600 : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return core::Fd(
        static_cast<int>(::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how))
    );
}

int write_all(int fd, const RecoveryEntry& entry) {
    for (const auto& range : entry.ranges) {
        auto offset = static_cast<off_t>(range.offset);
        for (auto bytes : range.pieces) {
            while (!bytes.empty()) {
                const auto done = ::pwrite(fd, bytes.data(), bytes.size(), offset);
                if (done < 0 && errno == EINTR) continue;
                if (done < 0) return errno;
                bytes = bytes.subspan(static_cast<std::size_t>(done));
                offset += done;
            }
        }
    }
    return ::fsync(fd) == 0 ? 0 : errno;
}

}  // namespace

void RecoverTold::written(const RecoveryEntry& entry) {
    std::uint64_t bytes = 0;
    for (const auto& range : entry.ranges) bytes += range.length;
    console_.print(fmt::format("{}: {} written\n", entry.describe(), human_bytes(bytes)));
}

void RecoverTold::is_there(const RecoveryEntry& entry) {
    console_.print(fmt::format("{}: the server has it already\n", entry.describe()));
}

void RecoverTold::refused(const RecoveryEntry& entry, std::string_view why) {
    ++failures_;
    console_.complain(fmt::format("{}: not written: {}", entry.describe(), why));
}

core::Task<void> recover_to_server(
    nfs::Client& client,
    const fs::Options& options,
    const Recovery& recovery,
    RecoverArguments::Conflicts conflicts,
    RecoverTold& told,
    const std::function<void()>& wait_no_more
) {
    ToServer writer(client, options, conflicts, told, wait_no_more);
    for (const auto& entry : recovery.entries) {
        auto writing = writer.entry(entry);
        co_await writing;
    }
}

void recover_to_directory(
    const std::string& directory,
    const Recovery& recovery,
    RecoverArguments::Conflicts conflicts,
    RecoverTold& told
) {
    const core::Fd base(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const int problem = base ? 0 : errno;
    const bool forced = conflicts == Conflicts::overwritten;
    for (const auto& entry : recovery.entries) {
        if (!base) {
            told.refused(entry, printable(directory) + ": " + describe_errno(problem));
            continue;
        }
        if (entry.path.empty()) {
            told.refused(entry, "its path is not known; leave --to out");
            continue;
        }
        const auto file = open_below(base.get(), entry.path, O_WRONLY | (forced ? O_CREAT : 0));
        struct stat st {};
        if (!file || ::fstat(file.get(), &st) != 0) {
            const int code = errno;
            told.refused(entry, code == ENOENT ? std::string(kNotBelow) : describe_errno(code));
            continue;
        }
        const auto now = fs::ctime_word(
            {st.st_ctim.tv_sec, static_cast<std::uint32_t>(st.st_ctim.tv_nsec)}
        );
        if (!S_ISREG(st.st_mode)) {
            told.refused(entry, "it is not a regular file");
        } else if (!forced && (st.st_ino != entry.fileid || now != entry.ctime)) {
            told.refused(entry, kChanged);
        } else if (const int code = write_all(file.get(), entry)) {
            told.refused(entry, describe_errno(code));
        } else {
            told.written(entry);
        }
    }
}

}  // namespace uidnfs::app
