/** `kiln key` for encryption keys, and the master key's file, as they are typed; machines are simulated. */
import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateVolumeCommand, EC2Client } from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const account = '111122223333'
let kiln: RunningKiln
let folder: string
let keyFile: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-e2e-key-'))
  keyFile = join(folder, 'master.key')
  kiln = await startKiln({ args: ['--key-file', keyFile], env: { KILN_KEY_FILE: keyFile } })
})
afterAll(async () => {
  await kiln.cleanup()
  await rm(folder, { recursive: true, force: true })
})

interface ListedKey {
  kind: string
  id: string
  arn: string
  state: string
  version: number
  aliases: string[]
  grantees: string[]
}

const listed = async () => JSON.parse(await kiln.command('key', 'list', '--json')) as ListedKey[]

test('a key is made, named, rotated, shared, disabled and enabled; both kinds are listed apart', async () => {
  const where = ['--account', account, '--region', 'us-east-1']
  const arn = (await kiln.command('key', 'create', '--encryption', '--alias', 'disks', ...where)).trim()
  const id = arn.split('/')[1]!
  await kiln.command('key', 'create', '--account', account)
  expect((await listed()).map((key) => key.kind)).toEqual(['access', 'encryption'])
  const key = async () => (await listed()).find((one) => one.id === id)!
  await kiln.command('key', 'alias', id, 'more')
  await kiln.command('key', 'rotate', 'alias/more')
  await kiln.command('key', 'grant', arn, '444455556666')
  await kiln.command('key', 'disable', 'disks')
  expect(await key()).toMatchObject({
    ...{ arn, state: 'disabled', version: 2, aliases: ['alias/disks', 'alias/more'], grantees: ['444455556666'] },
  })
  await kiln.command('key', 'revoke', arn, '444455556666')
  await kiln.command('key', 'enable', id)
  expect(await key()).toMatchObject({ state: 'enabled', grantees: [] })
  const shown = await kiln.command('key', 'list')
  expect(shown).toMatch(/access +AKIA\w+ +111122223333/)
  expect(shown).toMatch(new RegExp(`encryption +${id} +${account} +us-east-1 +enabled .*alias/disks alias/more`))

  const credentials = { accessKeyId: account, secretAccessKey: 'any' }
  const ec2 = new EC2Client({ endpoint: kiln.url, region: 'us-east-1', credentials })
  const volume = { AvailabilityZone: 'us-east-1a', Size: 1, Encrypted: true, KmsKeyId: 'alias/disks' }
  expect((await ec2.send(new CreateVolumeCommand(volume))).KmsKeyId).toBe(arn)
  ec2.destroy()
})

test.each([
  [['key', 'rotate', 'alias/none'], "there is no encryption key 'alias/none'"],
  [['key', 'create', '--encryption', '--alias', 'aws/mine'], 'not begin with aws/'],
  [['key', 'create', '--encryption', '--region', 'atlantis'], "There is no region 'atlantis'"],
])('%j is refused, and says why', async (args, why) => {
  await expect(kiln.command(...args)).rejects.toThrow(why)
})

test('the master key lies in the file that was named, for its owner alone; without it nothing is served', async () => {
  expect((await stat(keyFile)).mode & 0o777).toBe(0o600)
  const text = await readFile(keyFile, 'utf8')
  await kiln.stop()
  await rename(keyFile, `${keyFile}.away`)
  await expect(kiln.restart()).rejects.toThrow(`the master key ${keyFile} is missing`)
  await rename(`${keyFile}.away`, keyFile)
  await kiln.restart()
  expect(await readFile(keyFile, 'utf8')).toBe(text)
  expect(kiln.log).not.toContain(text.split('\n')[1])
})
