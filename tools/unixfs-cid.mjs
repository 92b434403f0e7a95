// Prints the CID that the npm package ipfs-unixfs-importer gives each file under the profile unixfs-v1-2025.
// The bytes are streamed and the blocks dropped, so a file may be larger than memory.
//
//     node tools/unixfs-cid.mjs FILE...        (after: tools/install.py npm)
import { createReadStream } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const packages = join(dirname(fileURLToPath(import.meta.url)), '..', '.tools', 'npm', 'node_modules')
// By path, since the packages are not beside this file, where Node would look for them by name.
const load = (...path) => import(pathToFileURL(join(packages, ...path)).href)

const files = process.argv.slice(2)
if (files.length === 0) {
  console.error('usage: node tools/unixfs-cid.mjs FILE...')
  process.exit(2)
}
let importer, BlackHoleBlockstore
try {
  ({ importer } = await load('ipfs-unixfs-importer', 'dist', 'src', 'index.js'));
  ({ BlackHoleBlockstore } = await load('blockstore-core', 'dist', 'src', 'black-hole.js'))
} catch (error) {
  console.error(`error: the importer cannot be loaded; run: tools/install.py npm\n  ${error.message}`)
  process.exit(1)
}
for (const file of files) {
  let root
  const source = [{ content: createReadStream(file, { highWaterMark: 1 << 20 }) }]
  for await (const entry of importer(source, new BlackHoleBlockstore(), { profile: 'unixfs-v1-2025' })) {
    root = entry.cid
  }
  console.log(root.toString())
}
