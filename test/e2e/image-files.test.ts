/** An image that went through files boots. How they are read and written is for test/daemon/image-files.test.ts. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultHome, homeAt } from '../../src/lib/home.ts'
import { useFleet } from './support/fleet.ts'

const accountId = '111122223333'
const on = useFleet({ hasInstance: false, accountId, env: { KILN_ACCOUNT: accountId } })
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-files-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('Kiln Linux goes out as OVA and VHD, and comes back and boots', async () => {
  const built = join(homeAt(defaultHome()).cacheDir, 'kiln-linux')
  const image = (await readdir(built)).find((name) => /\.(qcow2|raw|img)$/.test(name))!
  const imported = async (file: string) =>
    JSON.parse(await on.kiln.command('image', 'import', file, '--wait', '--json')).imageId as string
  const original = await imported(join(built, image))
  const back: string[] = []
  for (const ending of ['ova', 'vhd']) {
    const file = join(folder, `linux.${ending}`)
    await on.kiln.command('image', 'export', original, file)
    back.push(await imported(file))
  }
  for (const imageId of back) {
    const [instance] = await on.fleet.launch({ imageId })
    expect(await on.fleet.ssh(instance!, 'uname -s')).toBe('Linux')
    await on.fleet.terminate([instance!])
  }
})
