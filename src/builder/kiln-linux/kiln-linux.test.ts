import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../lib/programs.ts'
import { buildKilnLinux, type KilnLinuxImage } from './build.ts'
import { Guest, type Metadata } from './guest.fixture.ts'

let dir: string
let image: KilnLinuxImage
let keyPath: string
let publicKey: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kiln-linux-'))
  keyPath = join(dir, 'key')
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'trial', '-f', keyPath])
  publicKey = (await readFile(`${keyPath}.pub`, 'utf8')).trim()
  image = await buildKilnLinux({ cacheDir: join(dir, 'cache') })
}, 300_000)

afterAll(() => rm(dir, { recursive: true, force: true }))

describe('building', () => {
  test('gives a whole image of one GiB, named by its version', async () => {
    expect(image.name).toBe(`kiln-linux-${image.version}-x86_64-ebs`)
    expect(image.virtualSizeBytes).toBe(1024 ** 3)
    const info = JSON.parse(await run('qemu-img', ['info', '--output=json', image.imagePath]))
    expect(info).toMatchObject({ format: 'qcow2', 'virtual-size': 1024 ** 3 })
    expect(info['backing-filename']).toBeUndefined()
    expect(info['actual-size']).toBeLessThan(32 * 1024 ** 2)
    await run('qemu-img', ['check', '-q', image.imagePath])
  })

  test('finds the finished image again, and leaves no work behind', async () => {
    const again = await buildKilnLinux({
      cacheDir: join(dir, 'cache'),
      onProgress: (step) => expect.fail(`built again: ${step}`),
    })
    expect(again).toEqual(image)
    const left = await readdir(join(dir, 'cache/kiln-linux'))
    expect(left.filter((name) => name.startsWith('work-') || name === 'lock')).toEqual([])
  })

  test('makes the same bytes again, once for several builders, after one that died', async () => {
    const folder = join(dir, 'cache/kiln-linux')
    await rm(image.imagePath)
    await writeFile(join(folder, 'lock'), JSON.stringify({ pid: 1, startTicks: -1 }))
    const steps: string[] = []
    const options = { cacheDir: join(dir, 'cache'), onProgress: (step: string) => steps.push(step) }
    const built = await Promise.all([1, 2, 3].map(() => buildKilnLinux(options)))
    expect(built).toEqual([image, image, image])
    expect(steps.filter((step) => step === 'packing the image')).toHaveLength(1)
    expect(await readdir(folder)).not.toContain('lock')
  }, 300_000)
})

describe('a machine made from it', () => {
  test('is what a user of EC2 expects of a small image', async () => {
    const diskPath = join(dir, 'disk.qcow2')
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image.imagePath, '-F', 'qcow2', diskPath, '2G'])
    const moreDisks = [
      { path: join(dir, 'volume.qcow2'), serial: 'vol0fedcba9876543210' },
      { path: join(dir, 'ephemeral.qcow2'), serial: 'AWS0123456789abcdef0' },
    ]
    for (const { path } of moreDisks) await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, '75G'])
    const first: Metadata = {
      instanceId: 'i-0123456789abcdef0',
      hostname: 'ip-172-31-0-10.ec2.internal',
      publicKey,
      userData:
        '#!/bin/sh\necho "hello from $(id -un)"\necho ran >>/root/user-data-runs\nuntil [ -e /home/ec2-user/carried ]; do sleep 0.2; done\n',
      version: 2,
    }
    let hostKeys: string[]
    {
      await using guest = await Guest.start({
        dir: join(dir, 'first'),
        diskPath,
        metadata: first,
        diskDevice: 'virtio-blk-pci',
        moreDisks,
        keyPath,
      })
      await guest.ready()

      expect(await guest.ssh('id -un; sudo -n id -u; hostname; sudo -n hostname -f')).toBe(
        'ec2-user\n0\nip-172-31-0-10\nip-172-31-0-10.ec2.internal',
      )
      expect(await guest.ssh('sudo -n grep -c "^root:\\*:" /etc/shadow; . /etc/os-release; echo $PRETTY_NAME')).toBe(
        `1\nKiln Linux ${image.version}`,
      )
      expect(
        await guest.ssh('ec2-metadata instance-id; ec2-metadata nothing 2>&1').catch((error: Error) => error.message),
      ).toContain('exit 1')
      expect(await guest.ssh('ec2-metadata instance-id')).toBe(first.instanceId)
      // The root has grown to its disk: 2 GiB less the first 32 MiB and what ext4 keeps for itself.
      expect(Number(await guest.ssh("df -k / | awk 'NR==2{print $2}'"))).toBeGreaterThan(1_850_000)
      // The blank disk of the instance store is at hand; the volume is its owner's affair. Next to nothing was written.
      expect(
        await guest.ssh("df -m /mnt | awk 'NR==2{print $1, ($2 > 70000)}'; sudo -i -n ec2-ami-tools-version"),
      ).toBe('/dev/vdc 1\n1.5.0 20071010')
      expect((await stat(moreDisks[1]!.path)).blocks * 512).toBeLessThan(16 * 1024 ** 2)
      expect(
        await guest.ssh('sudo sh -c "echo kept >/mnt/kept"; sudo head -c 4096 /dev/vdb | tr -d "\\0" | wc -c'),
      ).toBe('0')
      const payload = join(dir, 'payload')
      await writeFile(payload, 'carried in by scp\n')
      // The user data waits for this file: logins work before it has ended.
      expect(await guest.console()).not.toContain('user data ended')
      await guest.copyIn(payload, 'carried')
      await guest.says('user data ended with status 0')
      // Nothing is left that uses the processor.
      const idle = "awk '/^cpu /{print $5}' /proc/stat"
      const [before, after] = (await guest.ssh(`sleep 2; ${idle}; sleep 2; ${idle}`)).split('\n').map(Number) as [
        number,
        number,
      ]
      expect(after - before).toBeGreaterThan(180)

      await guest.ssh('bash -c "[[ -s carried ]]" && sync')
      hostKeys = keysOn(await guest.console())
      expect(hostKeys).toHaveLength(1)

      await guest.ssh('sudo reboot')
      await guest.ready(2)
      expect(await guest.ssh('cat carried; sudo cat /root/user-data-runs; cat /var/log/user-data.log')).toBe(
        'carried in by scp\nran\nhello from root\nkiln-linux: user data ended with status 0',
      )
      // The same instance keeps its host keys, so nothing is printed a second time.
      expect(keysOn(await guest.console())).toEqual(hostKeys)
      expect(await guest.ssh('wc -l <.ssh/authorized_keys; cat /mnt/kept')).toBe('1\nkept')

      await guest.pressPowerButton()
      expect(await guest.ended(60_000)).toBeDefined()
      expect(await guest.console()).toContain('going down for poweroff')
    }

    // The same disk wakes up as another instance, on NVMe, with metadata of version 1 and another key.
    await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-C', 'other', '-f', join(dir, 'other')])
    const second: Metadata = {
      instanceId: 'i-0fedcba9876543210',
      hostname: 'ip-172-31-0-11.ec2.internal',
      publicKey: (await readFile(join(dir, 'other.pub'), 'utf8')).trim(),
      userData: 'not a script',
      version: 1,
    }
    await using clone = await Guest.start({
      dir: join(dir, 'second'),
      diskPath,
      metadata: second,
      diskDevice: 'nvme',
      keyPath: join(dir, 'other'),
    })
    await clone.ready()
    const cloneKeys = keysOn(await clone.console())
    expect(cloneKeys).toHaveLength(1)
    expect(cloneKeys.filter((key) => hostKeys.includes(key))).toEqual([])
    expect(await clone.ssh('hostname; cat carried; wc -l <.ssh/authorized_keys; sudo cat /root/user-data-runs')).toBe(
      'ip-172-31-0-11\ncarried in by scp\n2\nran',
    )
    await clone.ssh('sudo shutdown -h now')
    expect(await clone.ended(60_000)).toBeDefined()
  }, 600_000)
})

/** The public host keys that the console printed. */
function keysOn(console: string): string[] {
  const keys = /-----BEGIN SSH HOST KEY KEYS-----\r?\n([\s\S]*?)-----END SSH HOST KEY KEYS-----/g
  return [...console.matchAll(keys)].flatMap((match) =>
    match[1]!
      .trim()
      .split(/\r?\n/)
      .map((line) => line.split(' ')[1]!),
  )
}
