# Every target links sluice_flags; nothing else sets compiler options for the whole tree.
add_library(sluice_flags INTERFACE)
target_include_directories(sluice_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(sluice_flags INTERFACE
  _POSIX_C_SOURCE=200809L
  $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
target_compile_options(sluice_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wdouble-promotion -Wcast-qual -Wformat=2
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wundef -Wvla
  -Wwrite-strings -Wpointer-arith -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference
  -fno-common -fstack-protector-strong -fstack-clash-protection -ffp-contract=off
  $<$<BOOL:${SLUICE_WERROR}>:-Werror>)
target_link_options(sluice_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(SLUICE_SANITIZE)
  target_compile_options(sluice_flags INTERFACE
    -fsanitize=${SLUICE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE})
endif()

# Assertions state what callers owe; they stay on in release builds.
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
