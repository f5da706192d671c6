# FlashInfer's attention over pages: its headers, and the CCCL that they need, before the toolkit's own.
if(NOT EXISTS ${FRUGAL_FLASHINFER_ROOT}/include/flashinfer/attention/prefill.cuh)
  message(FATAL_ERROR "frugal: FRUGAL_FLASHINFER_ROOT has no FlashInfer headers (cmake/bootstrap.sh --flashinfer brings them): "
    "${FRUGAL_FLASHINFER_ROOT}")
endif()
add_library(frugal_obj_flashinfer OBJECT flashinfer_64.cu flashinfer_128.cu flashinfer_256.cu)
target_include_directories(frugal_obj_flashinfer PRIVATE ${FRUGAL_ROOT}/include ${FRUGAL_ROOT}/src
  ${FRUGAL_FLASHINFER_ROOT}/cccl/libcudacxx/include ${FRUGAL_FLASHINFER_ROOT}/cccl/cub ${FRUGAL_FLASHINFER_ROOT}/cccl/thrust
  ${FRUGAL_FLASHINFER_ROOT}/include)
# Without NDEBUG the headers write to the error stream.
target_compile_options(frugal_obj_flashinfer PRIVATE -std=c++20 -O3 -DNDEBUG --expt-relaxed-constexpr -Xptxas=-v -Xcompiler=-fvisibility=hidden)
set_target_properties(frugal_obj_flashinfer PROPERTIES CUDA_ARCHITECTURES "80;90" POSITION_INDEPENDENT_CODE ON)
target_compile_definitions(frugal_obj_cuda_kernels PRIVATE FRUGAL_HAS_FLASHINFER)
target_sources(frugal_room_cuda PRIVATE $<TARGET_OBJECTS:frugal_obj_flashinfer>)
