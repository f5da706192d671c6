# Toolchain file: 64-bit ARM on Linux from another machine, with Debian's cross compiler. Tests run in qemu where it is installed.
#   cmake -S . -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
find_program(FRUGAL_QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
if(FRUGAL_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${FRUGAL_QEMU_AARCH64};-L;/usr/aarch64-linux-gnu")
endif()
