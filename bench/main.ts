/**
 * `npm run bench [-- NAME…]`: measures Kiln against what a user would run instead, side by side in one run, and prints
 * ratios. Machines are noisy: figures are medians of alternating runs, and only the ratios mean something elsewhere.
 */
import { parseArgs, styleText } from 'node:util'
import { benchBlocks } from './blocks/blocks.ts'
import { benchBundles } from './bundles.ts'
import { benchCosts } from './costs.ts'
import { benchImageSize } from './image-size.ts'
import { benchLogin } from './login.ts'
import { benchRating } from './rating.ts'
import type { Bench } from './report.ts'

const benches: Readonly<Record<string, Bench>> = {
  login: benchLogin,
  'image-size': benchImageSize,
  blocks: benchBlocks,
  bundles: benchBundles,
  rating: benchRating,
  costs: benchCosts,
}

const { positionals } = parseArgs({ allowPositionals: true })
const unknown = positionals.find((name) => !benches[name])
if (unknown) {
  console.error(`bench: there is no bench '${unknown}': ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
const names = positionals.length > 0 ? positionals : Object.keys(benches)
for (const name of names) {
  const bench = benches[name]!
  console.log(styleText('bold', `${name}: ${bench.question}`))
  await bench.run((line) => console.log(`  ${line}`))
}
