// SPDX-License-Identifier: Apache-2.0
#include "fs/store_trace.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace uidnfs::test {
namespace {

StoreTrace* tracing = nullptr;  // signal handlers have no other way to it
struct sigaction old_fault {};
struct sigaction old_trap {};

#if defined(__x86_64__)
constexpr greg_t kTrapFlag = 0x100;  // of RFLAGS: a trap after the next instruction

void set_single_step(void* context, bool on) {
    auto& flags = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL];
    flags = on ? flags | kTrapFlag : flags & ~kTrapFlag;
}
#else
void set_single_step(void*, bool) {}
#endif

}  // namespace

struct StoreTrace::Handlers {
    static void on_fault(int, siginfo_t* info, void* context) {
        if (!tracing || !tracing->covers(info->si_addr)) {
            // Not ours: as if nobody had looked.
            ::sigaction(SIGSEGV, &old_fault, nullptr);
            return;
        }
        tracing->protect(PROT_READ | PROT_WRITE);
        set_single_step(context, true);
    }
    static void on_trap(int, siginfo_t*, void* context) {
        set_single_step(context, false);
        if (!tracing) return;
        tracing->protect(PROT_READ);
        tracing->after_each_();
    }
};

StoreTrace::StoreTrace(std::vector<std::span<std::byte>> ranges, std::function<void()> after_each)
    : ranges_(std::move(ranges)), after_each_(std::move(after_each)) {
    if (std::exchange(tracing, this)) std::abort();
    struct sigaction action {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = &Handlers::on_fault;
    ::sigaction(SIGSEGV, &action, &old_fault);
    action.sa_sigaction = &Handlers::on_trap;
    ::sigaction(SIGTRAP, &action, &old_trap);
    protect(PROT_READ);
}

StoreTrace::~StoreTrace() {
    protect(PROT_READ | PROT_WRITE);
    ::sigaction(SIGSEGV, &old_fault, nullptr);
    ::sigaction(SIGTRAP, &old_trap, nullptr);
    tracing = nullptr;
}

void StoreTrace::protect(int how) const {
    for (const auto& range : ranges_) {
        if (::mprotect(range.data(), range.size(), how) != 0) std::abort();
    }
}

bool StoreTrace::covers(const void* address) const {
    const auto* at = static_cast<const std::byte*>(address);
    return std::any_of(ranges_.begin(), ranges_.end(), [&](const auto& range) {
        return at >= range.data() && at < range.data() + range.size();
    });
}

}  // namespace uidnfs::test
