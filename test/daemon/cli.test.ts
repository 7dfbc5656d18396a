import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describePresence, presenceOf } from '../../src/cli/leftovers.ts'
import { homeAt } from '../../src/lib/home.ts'
import { ProgramError, run } from '../../src/lib/programs.ts'
import {
  cleanEnvironment,
  kilnProgram,
  newHome,
  type RunningKiln,
  repositoryRoot,
  startKiln,
} from '../e2e/support/kiln.ts'

/** How a command ended that was to fail. */
async function failure(command: Promise<string>): Promise<{ code: number | null; said: string }> {
  const error = await command.then(
    (output) => new Error(`it succeeded: ${output}`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ProgramError)) throw error
  return { code: error.exitCode, said: error.stderr }
}

const json = async (command: Promise<string>) => JSON.parse(await command)

describe('the kiln command on a home with simulated machines', () => {
  let kiln: RunningKiln
  beforeAll(async () => {
    kiln = await startKiln()
  })
  afterAll(() => kiln.cleanup())

  test('a daemon that cannot begin ends, and gives the home back', async () => {
    const home = await newHome()
    const obstacle = join(home, 'settings.json.new')
    const serve = () => run(kilnProgram, ['serve', '--home', home, '--port', '0', '--machines', 'simulated'])
    try {
      await mkdir(obstacle)
      expect(await failure(serve())).toMatchObject({ code: 1, said: expect.stringContaining('EISDIR') })
      // Not that the home is in use: the lock is free, and the same obstacle is met.
      expect(await failure(serve())).toMatchObject({ code: 1, said: expect.stringContaining('EISDIR') })
    } finally {
      await rm(obstacle, { recursive: true, force: true })
      await kiln.command('down', '--all', '--home', home)
      await rm(home, { recursive: true, force: true })
    }
  })

  test('health says what serves', async () => {
    const response = await fetch(`${kiln.url}/_kiln/health`)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      ...{ status: 'ready', machines: 'simulated', accelerator: null },
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    })
  })

  test('nobody else may read what is in the home', async () => {
    expect(await run('find', [kiln.home, '-mindepth', '1', '!', '-type', 'l', '-perm', '/077'])).toBe('')
  })

  test('env points AWS tools at it', async () => {
    const script = 'eval "$("$0" env --region eu-west-3 --account 111122223333)" && env'
    const { AWS_ENDPOINT_URL: _, ...bare } = kiln.env
    const environment = (await run('bash', ['-ec', script, kilnProgram], { env: bare })).split('\n')
    expect(environment).toEqual(
      expect.arrayContaining([
        `AWS_ENDPOINT_URL=${kiln.url}`,
        'AWS_ACCESS_KEY_ID=111122223333',
        'AWS_REGION=eu-west-3',
        'AWS_DEFAULT_REGION=eu-west-3',
      ]),
    )
    expect(await json(kiln.command('env', '--json'))).toMatchObject({ AWS_ENDPOINT_URL: kiln.url })
  })

  test('env keeps an AWS CLI that knows no AWS_ENDPOINT_URL, as Debian 12 has, from asking Amazon', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kiln-aws-'))
    try {
      const old = '#!/bin/sh\n[ "$1" = --version ] && echo aws-cli/2.9.19 Python/3.11.2 || echo "asked: $*"\n'
      await writeFile(join(folder, 'aws'), old, { mode: 0o755 })
      const script = 'eval "$("$0" env)" && aws ec2 describe-images'
      const env = { ...kiln.env, PATH: `${folder}:${process.env.PATH}` }
      expect(await run('bash', ['-euc', script, kilnProgram], { env })).toBe(
        `asked: --endpoint-url ${kiln.url} ec2 describe-images\n`,
      )
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  test('images, an instance and its volume, as people and as programs see them', async () => {
    const images = await json(kiln.command('image', 'list', '--owner', 'amazon', '--json'))
    expect(images).toMatchObject([
      { Name: expect.stringMatching(/^kiln-linux-.*-x86_64-ebs$/), RootDeviceType: 'ebs' },
      { Name: expect.stringMatching(/^kiln-linux-.*-x86_64-s3$/), RootDeviceType: 'instance-store' },
    ])
    const [{ ImageId: imageId }] = images
    expect(await kiln.command('image', 'list')).toContain(imageId)
    expect(await kiln.command('image', 'list', '--owner', 'self')).toBe('No images in us-east-1.\n')

    const { Ec2Client } = await import('../../src/cli/client.ts')
    const credentials = { accessKeyId: '000000000000', secret: 'kiln' }
    const ec2 = new Ec2Client({ url: kiln.url, region: 'us-east-1', credentials })
    const launched = await ec2.call('RunInstances', { ImageId: imageId, MinCount: 1, MaxCount: 1 })
    const id = launched.Instances![0]!.InstanceId!
    await expect.poll(() => kiln.command('instance', 'list'), { timeout: 20_000 }).toMatch(`${id}  -     running`)
    const [instance] = await json(kiln.command('instance', 'list', '--json'))
    expect(instance).toMatchObject({ InstanceId: id, State: { Name: 'running' } })
    expect(await kiln.command('instance', 'list', '--region', 'eu-west-1')).toBe('No instances in eu-west-1.\n')

    const volumeId = instance.BlockDeviceMappings[0].Ebs.VolumeId
    expect(await json(kiln.command('volume', 'show', volumeId, '--json'))).toMatchObject({
      ...{ id: volumeId, sizeGib: 1, isLazy: true, layers: 1 },
      attachedTo: [{ instanceId: id, deviceName: '/dev/xvda' }],
    })
    expect(await kiln.command('volume', 'show', volumeId)).toMatch(`${id} as /dev/xvda`)
    const gone = await failure(kiln.command('volume', 'show', 'vol-00000000000000000'))
    expect(gone).toEqual({ code: 1, said: "kiln: The volume 'vol-00000000000000000' does not exist.\n" })

    const status = await json(kiln.command('status', '--json'))
    expect(status).toMatchObject({ url: kiln.url, pid: kiln.pid, auth: 'open', instances: { running: 1 } })
    expect(status.regions).toEqual(expect.arrayContaining(['us-east-1', 'eu-west-1']))
    expect(await kiln.command('status')).toMatch(/instances +1 running/)
  })

  test('colours are for terminals: another program reads none, in continuous integration neither', async () => {
    const list = (env: NodeJS.ProcessEnv) => run(kilnProgram, ['image', 'list'], { env: { ...kiln.env, ...env } })
    const isColoured = (text: string) => text.includes('\u001b[')
    expect(isColoured(await list({ CI: 'true' }))).toBe(false)
    expect(isColoured(await list({ FORCE_COLOR: '1' }))).toBe(true)
  })

  test('an unknown region is refused in the words of the API', async () => {
    const { code, said } = await failure(kiln.command('image', 'list', '--region', 'mars-north-1'))
    expect(code).toBe(1)
    expect(said).toMatch(/^kiln: .*'mars-north-1'.* \(AuthFailure\)\n$/)
  })

  test('a second serve of the same home is refused, and of another home goes its own way', async () => {
    const second = await failure(kiln.command('serve', '--port', '0'))
    expect(second).toEqual({ code: 1, said: expect.stringContaining(`another Kiln serves the home ${kiln.home}`) })

    const other = await startKiln()
    try {
      expect(other.url).not.toBe(kiln.url)
      expect(await other.command('instance', 'list')).toBe('No instances in us-east-1.\n')
      const port = new URL(kiln.url).port
      await other.stop()
      const taken = await failure(other.command('serve', '--port', port))
      expect(taken).toEqual({
        code: 1,
        said: `kiln: port ${port} of 127.0.0.1 is taken: choose another with --port (0 takes any free one)\n`,
      })
    } finally {
      await other.cleanup()
    }
    expect((await json(kiln.command('status', '--json'))).instances).toEqual({ running: 1 })
  })

  test('machines do not change kind', async () => {
    const { code, said } = await failure(kiln.command('serve', '--port', '0', '--machines', 'qemu'))
    expect(code).toBe(2)
    expect(said).toContain('has simulated machines, not qemu ones')
  })

  test('SIGTERM ends it with 0; its instances are there after the next start', async () => {
    expect(await kiln.stop()).toBe(0)
    const asked = await failure(kiln.command('status'))
    expect(asked).toEqual({ code: 1, said: expect.stringContaining(`no Kiln serves the home ${kiln.home}`) })
    await kiln.restart()
    expect((await json(kiln.command('status', '--json'))).instances).toEqual({ running: 1 })
  })

  test('SIGTERM lets a request in flight end; a second one does not wait for it', async () => {
    const { hostname, port } = new URL(kiln.url)
    const socket = connect(Number(port), hostname)
    const scope = '000000000000/20260101/us-east-1/ec2/aws4_request'
    const authorization = `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`
    socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\nContent-Length: 9\r\n\r\nA`)
    await new Promise((resolve) => setTimeout(resolve, 300))
    const ended = kiln.stop()
    await new Promise((resolve) => setTimeout(resolve, 1000))
    process.kill(kiln.pid, 'SIGTERM')
    expect(await ended).toBe(1)
    socket.destroy()
    await kiln.restart()
  })

  test('a daemon that died is not taken for one that serves', async () => {
    await kiln.kill9()
    expect(await failure(kiln.command('env'))).toMatchObject({ code: 1 })
    expect(await kiln.command('down')).toBe(`no Kiln serves the home ${kiln.home}\n`)
    await kiln.restart()
    expect((await json(kiln.command('status', '--json'))).instances).toEqual({ running: 1 })
  })

  test('down --all ends the daemon, switches the instances off, and leaves nothing', async () => {
    expect(presenceOf(homeAt(kiln.home)).processes).not.toEqual([])
    const said = await kiln.downAll()
    expect(said).toMatch(/^stopped the Kiln at .*\ni-[0-9a-f]{17} is off\nnothing of the home .* runs any more\n$/)
    expect(describePresence(presenceOf(homeAt(kiln.home)))).toBeUndefined()
    expect(await kiln.downAll()).toBe(
      `no Kiln serves the home ${kiln.home}\nnothing of the home ${kiln.home} runs any more\n`,
    )
  })
})

describe('kiln with --auth verify', () => {
  let kiln: RunningKiln
  beforeAll(async () => {
    kiln = await startKiln({ auth: 'verify' })
  })
  afterAll(() => kiln.cleanup())

  test('serves whoever has a key, as long as it is there', async () => {
    const refused = await failure(kiln.command('image', 'list'))
    expect(refused).toEqual({ code: 1, said: expect.stringContaining('(AuthFailure)') })

    const key = await json(kiln.command('key', 'create', '--account', '444455556666', '--description', 'ci', '--json'))
    const env = { ...kiln.env, AWS_ACCESS_KEY_ID: key.id, AWS_SECRET_ACCESS_KEY: key.secret }
    const images = () => run(kilnProgram, ['image', 'list', '--json'], { env })
    expect(JSON.parse(await images())).toHaveLength(2)
    expect(await kiln.command('key', 'list')).toMatch(`${key.id}  444455556666`)

    const wrong = run(kilnProgram, ['image', 'list'], { env: { ...env, AWS_SECRET_ACCESS_KEY: 'guess' } })
    expect(await failure(wrong)).toEqual({ code: 1, said: expect.stringContaining('(SignatureDoesNotMatch)') })

    await kiln.command('key', 'delete', key.id)
    expect(await failure(images())).toEqual({ code: 1, said: expect.stringContaining('(AuthFailure)') })
    expect(await kiln.command('key', 'list')).toBe("No keys. Make one with 'kiln key create'.\n")
  })

  test('tells in env where keys come from, and gives none', async () => {
    const said = await kiln.command('env')
    expect(said).toContain(`export AWS_ENDPOINT_URL=${kiln.url}`)
    expect(said).not.toMatch(/^export AWS_(ACCESS_KEY_ID|SECRET)/m)
    expect(said).toContain('kiln key create')
  })
})

describe('kiln without a home', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kiln-none-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const kiln = (...args: string[]) => run(kilnProgram, args, { env: cleanEnvironment() })

  test('down --all has nothing to do, and makes nothing', async () => {
    const home = join(folder, 'never')
    expect(await kiln('down', '--all', '--home', home)).toBe(
      `no Kiln serves the home ${home}\nthe home ${home} was never served: there is nothing to switch off\n`,
    )
    await expect(rm(home)).rejects.toThrow('ENOENT')
  })

  test('a path too long for sockets is refused with what to do', async () => {
    const { code, said } = await failure(kiln('serve', '--home', join(folder, 'x'.repeat(80))))
    expect(code).toBe(1)
    expect(said).toMatch(/too long for the sockets in it: choose a shorter one with --home\n$/)
  })

  test('help says what can be typed', async () => {
    const help = await kiln('--help')
    for (const name of ['serve', 'down', 'status', 'env', 'doctor', 'tour', 'image', 'instance', 'volume', 'key']) {
      expect(help).toMatch(new RegExp(`^  ${name} `, 'm'))
    }
  })

  test('doctor tells what is there, and what is not', async () => {
    const { ok, findings } = await json(kiln('doctor', '--home', join(folder, 'never'), '--json'))
    expect(ok).toBe(true)
    expect(findings.map((finding: { about: string }) => finding.about)).toEqual([
      'Node',
      'programs',
      'kiln image build',
      'machines',
      'network',
      'ports',
      'disk',
      'daemon',
    ])

    const bin = join(folder, 'bin')
    await mkdir(bin)
    await symlink(process.execPath, join(bin, 'node'))
    const script = '"$0/node" "$1" doctor --home "$2"; echo "ended with $?"'
    const main = join(repositoryRoot, 'src/cli/main.ts')
    const bare = await run('/bin/bash', ['-c', script, bin, main, folder], { env: { PATH: bin, HOME: folder } })
    expect(bare).toMatch(/✗ programs +missing: qemu-system-x86_64 \(runs the machines\), .*apt-get install/)
    expect(bare).toMatch(/✗ machines +.*qemu-system-x86_64/)
    expect(bare).toMatch(/ended with 1\n$/)
  })
})
