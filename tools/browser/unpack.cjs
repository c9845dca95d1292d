"use strict";
// Unpacks the Chromium of @sparticuz/chromium beside it, with the libraries and the fonts that it brings along, and nothing of this
// machine's: node unpack.cjs FOLDER
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { pipeline } = require("node:stream/promises");
const { createBrotliDecompress } = require("node:zlib");

const from = path.join(path.resolve(process.argv[2]), "node_modules/@sparticuz/chromium/bin");
const to = path.join(path.resolve(process.argv[2]), "chromium");

async function unpack(file, into) {
  await pipeline(fs.createReadStream(path.join(from, file)), createBrotliDecompress(), fs.createWriteStream(into));
}

async function main() {
  fs.mkdirSync(to, { recursive: true });
  for (const name of ["al2023", "swiftshader", "fonts"]) {
    const tar = path.join(to, `${name}.tar`);
    await unpack(`${name}.tar.br`, tar);
    execFileSync("tar", ["--extract", "--no-same-owner", "--file", tar, "--directory", to]);
    fs.rmSync(tar);
  }
  const fonts = `<fontconfig><dir>${path.join(to, "fonts")}</dir><cachedir>${path.join(to, "cache")}</cachedir></fontconfig>\n`;
  fs.writeFileSync(path.join(to, "fonts.conf"), fonts);
  // Last: where it is, all is there.
  const program = path.join(to, "chromium");
  await unpack("chromium.br", `${program}.part`);
  fs.chmodSync(`${program}.part`, 0o755);
  fs.renameSync(`${program}.part`, program);
}

main().catch((error) => {
  console.error(`the browser cannot be unpacked: ${error.message}`);
  process.exit(1);
});
