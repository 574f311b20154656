// SPDX-License-Identifier: Apache-2.0
// Observers: one Observer for several. Owned by main(), which also owns those.
#pragma once

#include "plugins/core/mounter.hpp"

#include <utility>
#include <vector>

namespace uidnfs::plugins {

class Observers final : public Observer {
public:
    explicit Observers(std::vector<Observer*> observers) : observers_(std::move(observers)) {}

    void decided(const Decision& decision) override {
        for (auto* observer : observers_) observer->decided(decision);
    }

private:
    std::vector<Observer*> observers_;
};

}  // namespace uidnfs::plugins
