/**
 * `node main.ts --cache DIR [--refresh]`: builds Kiln Linux into that cache, or finds it there. Says each step on standard
 * error, and the image's path on standard output. Ends with 1 and the reason when it cannot.
 */
import { parseArgs } from 'node:util'
import { messageOf } from '../lib/errors.ts'
import { buildKilnLinux } from './kiln-linux/build.ts'

const { values } = parseArgs({ options: { cache: { type: 'string' }, refresh: { type: 'boolean', default: false } } })
if (!values.cache) {
  console.error('usage: main.ts --cache DIR [--refresh]')
  process.exit(2)
}
try {
  const image = await buildKilnLinux({
    cacheDir: values.cache,
    refresh: values.refresh,
    onProgress: (step) => console.error(`  ${step} …`),
  })
  console.log(image.imagePath)
} catch (error) {
  console.error(messageOf(error))
  process.exit(1)
}
