// SPDX-License-Identifier: Apache-2.0
// What an operation costs while a mount knows COUNT files, over a server in memory: scale COUNT...
// One line of JSON for each count; all counts take turns, ROUNDS times, and medians are printed.
#include "fs/fixture.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace uidnfs;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 5;
constexpr std::size_t kOperations = 5000;
constexpr std::size_t kAtOnce = 500;

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "scale: %s\n", what);
    std::exit(1);
}

/// Bytes in memory now.
std::uint64_t resident() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t all = 0;
    std::uint64_t pages = 0;
    require(static_cast<bool>(statm >> all >> pages), "cannot read /proc/self/statm");
    return pages * 4096;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values.at(values.size() / 2);
}

/// A mount that knows `count` files, as after `ls -l` or find(1).
class Known {
public:
    explicit Known(std::size_t count) : count_(count) {
        world_.server.put_directory("/d", 0777);
        for (std::size_t i = 0; i < count; ++i) {
            world_.server.put_file("/d/file" + std::to_string(i), "content", 0666);
        }
        mount_ = std::make_unique<test::Mount>(
            world_, test::default_options(), test::MemoryClient::Options{}
        );
        directory_ = mount_->walk("/d");
        const auto before = resident();
        list(fs::Listing::names, [](const test::Listed&) {});
        names_bytes_ = resident() - std::min(before, resident());
        ids_.reserve(count);
        const auto without = resident();
        list(fs::Listing::plus, [&](const test::Listed& entry) { ids_.push_back(entry.inode); });
        known_bytes_ = resident() - std::min(without, resident());
        require(ids_.size() == count, "the listing is not whole");
    }

    void measure() {
        getattr_.push_back(each([&](std::size_t i) {
            const auto id = ids_[i % ids_.size()];
            require(
                mount_->run(mount_->fs().getattr(mount_->caller, id)).has_value(), "getattr failed"
            );
        }));
        lookup_.push_back(each([&](std::size_t i) {
            const auto entry =
                mount_->lookup(directory_, "file" + std::to_string(i % ids_.size()));
            require(entry && entry->id != 0, "lookup failed");
            mount_->fs().forget(entry->id, 1);
        }));
        open_.push_back(each([&](std::size_t i) {
            const auto id = ids_[i % ids_.size()];
            const auto opened = mount_->run(mount_->fs().open(mount_->caller, id, O_RDONLY));
            require(opened.has_value(), "open failed");
            mount_->run(mount_->fs().release(opened->open));
        }));
    }

    void print() const {
        std::printf(
            "{\"files\": %zu, \"getattr_us\": %.3f, \"lookup_us\": %.3f, \"open_us\": %.3f, "
            "\"bytes_each\": %.0f, \"listing_bytes\": %llu}\n",
            count_,
            median(getattr_),
            median(lookup_),
            median(open_),
            static_cast<double>(known_bytes_) / static_cast<double>(count_),
            static_cast<unsigned long long>(names_bytes_)
        );
    }

private:
    void list(fs::Listing listing, const std::function<void(const test::Listed&)>& take) {
        const auto opened = mount_->run(mount_->fs().opendir(mount_->caller, directory_));
        require(opened.has_value(), "opendir failed");
        std::uint64_t offset = 0;
        for (;;) {
            const auto some = mount_->read_dir(opened->open, offset, listing, kAtOnce);
            if (some.empty()) break;
            for (const auto& entry : some) {
                offset = entry.next_offset;
                if (entry.name != "." && entry.name != "..") take(entry);
            }
        }
        mount_->fs().releasedir(opened->open);
    }

    double each(const std::function<void(std::size_t)>& work) {
        const auto start = Clock::now();
        for (std::size_t i = 0; i < kOperations; ++i) work(random_());
        const std::chrono::duration<double, std::micro> took = Clock::now() - start;
        return took.count() / kOperations;
    }

    std::size_t count_;
    test::World world_;
    std::unique_ptr<test::Mount> mount_;
    fs::InodeId directory_ = 0;
    std::vector<fs::InodeId> ids_;
    std::mt19937 random_{7};
    std::uint64_t names_bytes_ = 0;
    std::uint64_t known_bytes_ = 0;
    std::vector<double> getattr_;
    std::vector<double> lookup_;
    std::vector<double> open_;
};

}  // namespace

int main(int argc, char** argv) {
    require(argc > 1, "usage: scale COUNT...");
    std::vector<std::unique_ptr<Known>> all;
    for (int i = 1; i < argc; ++i) {
        all.push_back(std::make_unique<Known>(std::strtoull(argv[i], nullptr, 10)));
    }
    for (int round = 0; round < kRounds; ++round) {
        for (const auto& known : all) known->measure();
    }
    for (const auto& known : all) known->print();
    return 0;
}
