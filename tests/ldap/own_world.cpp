// SPDX-License-Identifier: Apache-2.0
#include "ldap/own_world.hpp"

#include <sched.h>
#include <sys/mount.h>

#include <thread>

namespace uidnfs::test {

OwnWorld run_with_file(
    const std::string& path, const std::string& instead, const std::function<void()>& work
) {
    auto result = OwnWorld::no_right;
    std::thread([&] {
        if (::unshare(CLONE_NEWNS) != 0 ||
            ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount(instead.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
            return;
        }
        result = OwnWorld::done;
        work();
    }).join();
    return result;
}

}  // namespace uidnfs::test
