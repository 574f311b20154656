// SPDX-License-Identifier: Apache-2.0
#include "core/code_pages.hpp"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace uidnfs::core {
namespace {

int give_back_object(dl_phdr_info* object, std::size_t, void*) noexcept {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    for (const auto& part : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
        // What the linker relocated lies in writable parts, also where it is read-only by now.
        if (part.p_type != PT_LOAD || part.p_flags & PF_W) continue;
        const auto begin = (object->dlpi_addr + part.p_vaddr) / page * page;
        const auto end = object->dlpi_addr + part.p_vaddr + part.p_memsz;
        // Refused for the vDSO, which is nobody's file.
        (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
}

}  // namespace

void give_back_code() noexcept { dl_iterate_phdr(give_back_object, nullptr); }

}  // namespace uidnfs::core
