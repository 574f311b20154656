// SPDX-License-Identifier: Apache-2.0
// What the service manager is told, where there is one. Any thread.
#pragma once

#include <string>

namespace uidnfs::core {

/// sd_notify(3): `state` as "READY=1"; nothing happens without NOTIFY_SOCKET.
void notify_service_manager(const std::string& state);

}  // namespace uidnfs::core
