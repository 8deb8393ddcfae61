# Writes a file's bytes as the C definition of an asset:
#   cmake -DINPUT=page.html -DOUTPUT=asset_page.c -DNAME=asset_page -DTYPE=text/html -P embed.cmake
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT} "#include \"api/asset.h\"

static const unsigned char bytes[] = {
${bytes}};

const struct asset ${NAME} = {bytes, sizeof(bytes), \"${TYPE}\"};
")
