// SPDX-License-Identifier: Apache-2.0
// What TogetherRun is made of: values that are watched while they change, the kernel's locks, and
// what the kernel knows of files. Reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "fs/fixture.hpp"

#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::test {

/// What was there during some time.
template <class T>
class Watched;

template <class T>
class Window {
public:
    explicit Window(Watched<T>& watched);
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;
    ~Window();
    const std::vector<T>& seen() const noexcept { return seen_; }
    template <class Holds>
    bool any(const Holds& holds) const {
        return std::any_of(seen_.begin(), seen_.end(), holds);
    }
    bool all_are(const T& value) const {
        return std::all_of(seen_.begin(), seen_.end(), [&](const T& one) { return one == value; });
    }

private:
    friend class Watched<T>;
    Watched<T>& watched_;
    std::vector<T> seen_;
};

/// A value that changes at some moment between begin() and end().
template <class T>
class Watched {
public:
    explicit Watched(T value) : now_(std::move(value)) {}
    const T& now() const noexcept { return now_; }
    bool changes() const noexcept { return !coming_.empty(); }
    void begin(const T& next) {
        coming_.push_back(next);
        for (auto* window : windows_) window->seen_.push_back(next);
    }
    /// `next`: as it was told to begin().
    void end(const T& next) {
        now_ = next;
        coming_.erase(std::find(coming_.begin(), coming_.end(), next));
    }
    void give_up(const T& next) { coming_.erase(std::find(coming_.begin(), coming_.end(), next)); }
    /// Changes of other parts of it may be under way as well.
    template <class Change>
    void end(const T& next, const Change& change) {
        change(now_);
        coming_.erase(std::find(coming_.begin(), coming_.end(), next));
    }

private:
    friend class Window<T>;
    T now_;
    std::vector<T> coming_;
    std::vector<Window<T>*> windows_;
};

template <class T>
Window<T>::Window(Watched<T>& watched) : watched_(watched), seen_{watched.now_} {
    seen_.insert(seen_.end(), watched.coming_.begin(), watched.coming_.end());
    watched_.windows_.push_back(this);
}
template <class T>
Window<T>::~Window() {
    std::erase(watched_.windows_, this);
}

/// As the kernel's i_rwsem.
class Lock {
public:
    explicit Lock(core::Reactor& reactor) : changed_(reactor) {}
    core::Task<void> exclusive() {
        while (writers_ + readers_ > 0) {
            auto wait = changed_.wait();
            co_await wait;
        }
        writers_ = 1;
    }
    core::Task<void> shared() {
        while (writers_ > 0) {
            auto wait = changed_.wait();
            co_await wait;
        }
        ++readers_;
    }
    void release() {
        if (writers_ > 0) {
            writers_ = 0;
        } else {
            --readers_;
        }
        changed_.notify_all();
    }

private:
    core::Event changed_;
    int writers_ = 0;
    int readers_ = 0;
};

/// Releases a lock that was taken.
class Held {
public:
    explicit Held(Lock& lock) noexcept : lock_(&lock) {}
    Held(Held&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
        if (lock_) lock_->release();
    }

private:
    Lock* lock_;
};

struct KnownFile {
    KnownFile(core::Reactor& reactor, mode_t made_with) : mode(made_with), lock(reactor) {}
    fs::InodeId id = 0;  ///< 0: the kernel has forgotten it
    Watched<std::string> content{""};
    Watched<std::size_t> links{1};
    Watched<mode_t> mode;
    std::size_t opens = 0;
    /// Ranges that are written without the exclusive lock.
    std::vector<std::pair<std::size_t, std::size_t>> direct;
    Lock lock;
};
using KnownFileRef = std::shared_ptr<KnownFile>;

struct Opened {
    Opened(core::Reactor& reactor, File opened, KnownFileRef of, int with)
        : file(opened), node(std::move(of)), flags(with), unused(reactor) {}
    File file;
    KnownFileRef node;
    int flags;
    std::size_t users = 0;
    core::Event unused;
};
using OpenedRef = std::shared_ptr<Opened>;

/// A descriptor in use by a system call: its file is not released meanwhile.
class Using {
public:
    explicit Using(OpenedRef opened) : opened_(std::move(opened)) { ++opened_->users; }
    Using(const Using&) = delete;
    Using& operator=(const Using&) = delete;
    ~Using() {
        if (--opened_->users == 0) opened_->unused.notify_all();
    }

private:
    OpenedRef opened_;
};

}  // namespace uidnfs::test
