// SPDX-License-Identifier: Apache-2.0
// What the service manager is told, where there is one. Any thread.
#pragma once

#include <string>

namespace uidnfs::core {

/// sd_notify(3): `state` as "READY=1"; nothing happens without NOTIFY_SOCKET.
void notify_service_manager(const std::string& state);

/// The next start of this service finds a duplicate of `fd` among those that it inherits, under
/// `name` (FileDescriptorStoreMax=): 1 to 255 printable characters of ASCII, no ':'.
void keep_in_service_manager(const std::string& name, int fd);
/// What was kept under `name` is closed.
void drop_from_service_manager(const std::string& name);

}  // namespace uidnfs::core
