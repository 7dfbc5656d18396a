import { describe, expect, test } from 'vitest'
import { commandFindings, networkFinding, nodeFinding, portsFinding, programsFinding } from './doctor.ts'
import { knowsEndpointVariable } from './env.ts'

describe('kiln env knows which AWS CLI asks Amazon in spite of AWS_ENDPOINT_URL', () => {
  test.each([
    ['1.22.34', false],
    ['1.29.0', true],
    ['1.45.11', true],
    ['2.9.19', false],
    ['2.12.7', false],
    ['2.13.0', true],
    ['2.31.2', true],
    ['3.0.0', true],
  ])('%s: %s', (version, expected) => {
    expect(knowsEndpointVariable(version)).toBe(expected)
  })
})

describe('kiln doctor', () => {
  test('names the package that brings what is missing, each once', () => {
    const missing = [
      { name: 'qemu-img', package: 'qemu-utils', purpose: 'disks' },
      { name: 'mformat', package: 'mtools', purpose: 'images' },
      { name: 'mcopy', package: 'mtools', purpose: 'images' },
    ]
    const { verdict, detail } = programsFinding(missing)
    expect(verdict).toBe('missing')
    expect(detail).toContain('qemu-img (disks), mformat (images), mcopy (images)')
    expect(detail).toMatch(/apt-get install --no-install-recommends qemu-utils mtools$/)
    expect(programsFinding([]).verdict).toBe('ok')
  })

  test('tells apart what one command lacks from what Kiln lacks', () => {
    const programs = [
      { name: 'qemu-img', package: 'qemu-utils', purpose: 'disks' },
      { name: 'mmdebstrap', package: 'mmdebstrap', purpose: 'builds Debian', command: 'kiln image build' },
      { name: 'sfdisk', package: 'fdisk', purpose: 'builds Debian', command: 'kiln image build' },
    ]
    expect(commandFindings(programs, ({ name }) => name === 'sfdisk')).toEqual([
      {
        ...{ about: 'kiln image build', verdict: 'limited' },
        detail: expect.stringMatching(/^missing: mmdebstrap \(builds Debian\); type: .* mmdebstrap$/),
      },
    ])
    expect(commandFindings(programs, () => true)).toMatchObject([{ about: 'kiln image build', verdict: 'ok' }])
  })

  test('finds an old Node missing', () => {
    expect(nodeFinding('24.1.0').verdict).toBe('ok')
    expect(nodeFinding('20.19.2')).toMatchObject({
      verdict: 'missing',
      detail: expect.stringContaining('24 is needed'),
    })
  })

  test('knows a network that stands in from none at all', () => {
    const [works, fails] = [
      { ok: true, detail: 'it works' },
      { ok: false, detail: 'it is closed; type: this' },
    ]
    expect(networkFinding(works, fails)).toEqual({ about: 'network', verdict: 'ok', detail: 'it works' })
    expect(networkFinding(fails, works)).toMatchObject({
      verdict: 'limited',
      detail: expect.stringContaining('it works'),
    })
    expect(networkFinding(fails, fails)).toMatchObject({
      verdict: 'missing',
      detail: expect.stringContaining('type: this'),
    })
  })

  test('tells ordinary users how SSH reaches their instances', () => {
    expect(portsFinding(true, 1024).verdict).toBe('ok')
    expect(portsFinding(false, 22).verdict).toBe('ok')
    expect(portsFinding(false, 1024)).toMatchObject({
      verdict: 'limited',
      detail: expect.stringContaining('sudo sysctl -w net.ipv4.ip_unprivileged_port_start=22'),
    })
  })
})
