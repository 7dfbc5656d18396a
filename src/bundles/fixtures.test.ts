/** Bundles of the format's one version must open for ever: their makers are gone, and the images are still wanted. */
import { createHash, createPrivateKey } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseManifest } from './manifest.ts'
import { openKey, signerOf } from './seals.ts'
import { openBundle } from './unbundle.ts'

const directory = join(import.meta.dirname, 'fixtures', '2007-10-10')

test('a bundle of the classic programs is read as it was written', async () => {
  const document = await readFile(join(directory, 'disk.manifest.xml'))
  const manifest = parseManifest(document)
  expect(manifest.blockDeviceMapping.map(({ virtual, device }) => [virtual, device])).toEqual([
    ['ami', 'sda1'],
    ['ephemeral0', 'sdb'],
    ['root', '/dev/sda1'],
  ])
  const user = await readFile(join(directory, 'user.pem'), 'utf8')
  expect(signerOf(document, manifest.signature, [user])).toBe(user)
  const { ec2EncryptedKey, ec2EncryptedIv } = manifest.image
  const privateKey = createPrivateKey(await readFile(join(directory, 'cloud.key')))
  const key = openKey({ key: ec2EncryptedKey, iv: ec2EncryptedIv }, privateKey)
  const digest = createHash('sha256')
  const readPart = ({ filename }: { filename: string }) => createReadStream(join(directory, filename))
  for await (const piece of openBundle({ manifest, key, readPart })) digest.update(piece)
  expect(digest.digest('hex')).toBe('e58f28d5b3adf2d9b9780ae4dfcf7147ca5559db01b0940e022b19229b9bc403')
})
