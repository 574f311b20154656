// SPDX-License-Identifier: Apache-2.0
#include "fs/together_scene.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace uidnfs::test {

TogetherScene::TogetherScene(const TogetherPlan& plan)
    : world_(random_behaviour(plan.seed)), plan_(plan) {
    auto with = default_options();
    choose_options(with, plan.seed);
    MemoryClient::Options client;
    client.travel = {4, plan.seed};
    client.lost_reply = LostReply::remember;
    mount_ = std::make_unique<Mount>(world_, with, client);
    kernel_.emplace(world_, *mount_, plan.seed);
    world_.explain_hangs([this] { return fmt::format("together: seed {}", plan_.seed); });
    for (const auto* path : kDirectories) {
        if (mount_->make_dir(path) != 0) throw std::runtime_error("no directory");
        auto& directory = directories_.emplace_back(std::make_unique<Directory>(reactor()));
        directory->id = mount_->walk(path);
        for (std::size_t j = 0; j < kNamesEach; ++j) directory->names.emplace_back(nullptr);
    }
}

TogetherScene::Place TogetherScene::place(std::uint32_t number) {
    return place(number % kDirectories.size(), number / 7 % kNamesEach);
}

TogetherScene::Place TogetherScene::place(std::size_t which, std::size_t name) {
    auto& directory = *directories_[which];
    return {
        directory,
        fmt::format("n{}", name),
        directory.names[name],
        fmt::format("{}/n{}", kDirectories[which], name)};
}

void TogetherScene::wrong(const std::string& what) {
    if (failure_.empty()) failure_ = doing_ + ": " + what;
}

void TogetherScene::expect(int code, int expected, std::string_view what) {
    if (code != expected) wrong(fmt::format("{}: errno {}, expected {}", what, code, expected));
}

std::pair<std::size_t, std::size_t> TogetherScene::sizes(const Window<std::string>& contents) {
    std::size_t least = SIZE_MAX;
    std::size_t most = 0;
    for (const auto& content : contents.seen()) {
        least = std::min(least, content.size());
        most = std::max(most, content.size());
    }
    return {least, most};
}

}  // namespace uidnfs::test
