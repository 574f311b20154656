// SPDX-License-Identifier: Apache-2.0
#include "control/mount_table.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>

namespace uidnfs::control {
namespace {

std::optional<std::string> read_from_begin(int file) {
    if (::lseek(file, 0, SEEK_SET) != 0) return std::nullopt;
    std::string text;
    std::array<char, 16384> block;
    for (;;) {
        const auto size = ::read(file, block.data(), block.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return std::nullopt;
        if (size == 0) return text;
        text.append(block.data(), static_cast<std::size_t>(size));
    }
}

}  // namespace

const std::vector<MountEntry>* MountTable::now() {
    if (!file_) file_ = core::Fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
    if (!file_) return nullptr;
    // Before it is read: what changes meanwhile is told by the next question.
    if (has_changed()) read_ = Read::no;
    if (read_ == Read::yes) return &mounts_;
    const auto text = read_from_begin(file_.get());
    if (!text) return nullptr;
    mounts_ = parse_mountinfo(*text);
    read_ = Read::yes;
    return &mounts_;
}

/// Since this was asked last, or the file was opened.
bool MountTable::has_changed() const {
    pollfd look{file_.get(), POLLPRI, 0};
    return ::poll(&look, 1, 0) != 0;
}

}  // namespace uidnfs::control
