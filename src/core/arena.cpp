// SPDX-License-Identifier: Apache-2.0
#include "core/arena.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>

namespace uidnfs::core {
namespace {

constexpr std::uint64_t kMagic = 0x75'69'64'6e'66'73'41'31;  // "uidnfsA1"

struct DirectoryEntry {
    std::uint32_t id;
    std::uint32_t stride;
    std::uint64_t capacity;
    std::uint64_t offset;
    std::uint64_t high_water;
};

/// First page of the mapping.
struct Header {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t regions;
    std::uint64_t size;
    DirectoryEntry directory[Arena::kMaxRegions];
};
static_assert(sizeof(Header) <= kMemoryPage);

Header layout(std::span<const RegionSpec> regions) {
    Header header{
        kMagic, Arena::kVersion, static_cast<std::uint32_t>(regions.size()), kMemoryPage, {}};
    for (std::size_t i = 0; i < regions.size(); ++i) {
        const auto& spec = regions[i];
        header.directory[i] = {spec.id, spec.stride, spec.capacity, header.size, 0};
        header.size += page_above(spec.capacity * spec.stride);
    }
    return header;
}

std::optional<Error> check(const Header& found, const Header& wanted, std::uint64_t file_size) {
    if (found.magic != kMagic) return Error(EPROTO);
    if (found.version != Arena::kVersion) return Error(EPROTONOSUPPORT);
    if (found.size != file_size || found.regions > Arena::kMaxRegions) return Error(EPROTO);
    if (found.regions != wanted.regions || found.size != wanted.size) return Error(EINVAL);
    for (std::uint32_t i = 0; i < found.regions; ++i) {
        const auto& is = found.directory[i];
        const auto& want = wanted.directory[i];
        if (is.id != want.id || is.stride != want.stride || is.capacity != want.capacity ||
            is.offset != want.offset) {
            return Error(EINVAL);
        }
        if (is.high_water > is.capacity) return Error(EPROTO);
    }
    return std::nullopt;
}

Result<std::byte*> map(int fd, std::uint64_t size) {
    void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) return Error(errno);
    // Bytes of other people's files do not belong into a core dump.
    ::madvise(base, size, MADV_DONTDUMP);
    return static_cast<std::byte*>(base);
}

}  // namespace

Result<Arena> Arena::create(std::span<const RegionSpec> regions) {
    if (regions.size() > kMaxRegions) return Error(EINVAL);
    const auto header = layout(regions);
    Fd memfd(::memfd_create("uidnfs-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!memfd) return Error(errno);
    if (::ftruncate(memfd.get(), static_cast<off_t>(header.size)) != 0) return Error(errno);
    if (::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return Error(errno);
    }
    const auto base = map(memfd.get(), header.size);
    if (!base) return base.error();
    std::memcpy(*base, &header, sizeof header);
    return Arena(std::move(memfd), *base, header.size);
}

Result<Arena> Arena::attach(Fd memfd, std::span<const RegionSpec> regions) {
    if (regions.size() > kMaxRegions) return Error(EINVAL);
    struct stat st {};
    if (::fstat(memfd.get(), &st) != 0) return Error(errno);
    const auto size = static_cast<std::uint64_t>(st.st_size);
    if (size < kMemoryPage) return Error(EPROTO);
    // A file that somebody may still shrink would kill whoever touches what is gone.
    const int seals = ::fcntl(memfd.get(), F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK)) return Error(EPROTO);
    const auto base = map(memfd.get(), size);
    if (!base) return base.error();
    Arena arena(std::move(memfd), *base, size);
    Header found;
    std::memcpy(&found, *base, sizeof found);
    if (const auto error = check(found, layout(regions), size)) return *error;
    return arena;
}

Arena::Arena(Arena&& other) noexcept
    : memfd_(std::move(other.memfd_)),
      base_(std::exchange(other.base_, nullptr)),
      size_(other.size_) {}

Arena::~Arena() {
    if (base_) ::munmap(base_, size_);
}

Region Arena::region(std::uint32_t id) const noexcept {
    auto& header = *reinterpret_cast<Header*>(base_);
    for (std::uint32_t i = 0; i < header.regions; ++i) {
        auto& entry = header.directory[i];
        if (entry.id == id) {
            return {
                base_ + entry.offset,
                entry.offset,
                entry.stride,
                entry.capacity,
                &entry.high_water};
        }
    }
    std::terminate();  // the caller broke the contract; there is no region to work on
}

void Arena::discard(std::uint64_t offset, std::uint64_t length) const noexcept {
    ::fallocate(
        memfd_.get(),
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        static_cast<off_t>(offset),
        static_cast<off_t>(length)
    );
}

}  // namespace uidnfs::core
