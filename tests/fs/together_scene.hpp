// SPDX-License-Identifier: Apache-2.0
// TogetherScene: what the threads of a TogetherRun share: the mount, what the kernel knows of it,
// and what must be there. Reactor's thread only.
#pragma once

#include "fs/fixture.hpp"
#include "fs/kernel_requests.hpp"
#include "fs/together_parts.hpp"
#include "fs/together_run.hpp"

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uidnfs::test {

class TogetherScene {
protected:
    static constexpr std::array kDirectories{"/p", "/q"};
    static constexpr std::size_t kNamesEach = 4;
    static constexpr std::array kModes{0600u, 0640u, 0644u, 0755u};
    static constexpr std::size_t kMostBytes = 60'000;

    struct Directory {
        explicit Directory(core::Reactor& reactor) : lock(reactor) {}
        fs::InodeId id = 0;
        std::deque<Watched<KnownFileRef>> names;
        Lock lock;
    };
    struct Place {
        Directory& directory;
        std::string name;
        Watched<KnownFileRef>& watched;
        std::string path;
    };
    /// The kernel holds a reference while it works on an inode.
    class Pin {
    public:
        Pin(TogetherScene& scene, fs::InodeId id) : scene_(scene), id_(id) { ++scene_.pins_[id_]; }
        Pin(const Pin&) = delete;
        Pin& operator=(const Pin&) = delete;
        ~Pin() { --scene_.pins_[id_]; }

    private:
        TogetherScene& scene_;
        fs::InodeId id_;
    };

    explicit TogetherScene(const TogetherPlan& plan);
    TogetherScene(const TogetherScene&) = delete;
    TogetherScene& operator=(const TogetherScene&) = delete;
    ~TogetherScene() = default;

    core::Reactor& reactor() { return world_.reactor; }
    MemoryServer& server() { return world_.server; }
    fs::Filesystem& fs() { return mount_->fs(); }
    const fs::Caller& caller() const { return mount_->caller; }

    Place place(std::uint32_t number);
    Place place(std::size_t which, std::size_t name);
    /// The first that was wrong is kept.
    void wrong(const std::string& what);
    void expect(int code, int expected, std::string_view what);
    /// (least, most)
    static std::pair<std::size_t, std::size_t> sizes(const Window<std::string>& contents);

    World world_;
    const TogetherPlan& plan_;
    std::unique_ptr<Mount> mount_;
    std::optional<KernelRequests> kernel_;
    std::vector<std::unique_ptr<Directory>> directories_;
    std::vector<OpenedRef> opened_;
    std::map<fs::InodeId, KnownFileRef> nodes_;  ///< that the kernel knows
    std::map<fs::InodeId, std::uint64_t> lookups_;
    std::map<fs::InodeId, int> pins_;
    std::string doing_;
    std::string failure_;
};

}  // namespace uidnfs::test
