// SPDX-License-Identifier: Apache-2.0
// The resident pages of a process that thousands of mounts have one of.
#pragma once

namespace uidnfs::core {

/// Takes what is mapped of programs and libraries, and never written, out of this process' resident
/// set (madvise(2), MADV_DONTNEED). It stays in the machine's page cache; what is executed or read
/// again costs a minor fault for each 64 KiB. For a process that is about to wait. Any thread.
void give_back_code() noexcept;

}  // namespace uidnfs::core
