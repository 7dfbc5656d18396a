import { describe, expect, it } from 'vitest'
import type { BorderRule, TrafficRule } from './driver.ts'
import { publicPorts, wellKnownPorts, widestListedRange } from './public-ports.ts'

const anyone = ['0.0.0.0/0']

const rule = (
  fromPort: number,
  toPort: number,
  peers = anyone,
  protocol: TrafficRule['protocol'] = 'tcp',
): TrafficRule => ({
  protocol,
  fromPort,
  toPort,
  peers,
})

describe('the ports of a public address', () => {
  it.each<[string, TrafficRule[], readonly number[]]>([
    ['none without rules', [], []],
    ['a port that is open to all', [rule(22, 22)], [22]],
    ['ports of several rules, once each', [rule(80, 82), rule(81, 83), rule(22, 22)], [22, 80, 81, 82, 83]],
    ['a port that is open to this host', [rule(22, 22, ['127.0.0.1/32'])], [22]],
    ['not one for others only', [rule(22, 22, ['10.0.0.0/8', '::/0'])], []],
    ['not datagrams', [rule(53, 53, ['0.0.0.0/0'], 'udp')], []],
    ['TCP by its number', [rule(22, 22, ['0.0.0.0/0'], 6)], [22]],
    ['all traffic: the well-known ports', [rule(-1, -1, ['0.0.0.0/0'], 'all')], wellKnownPorts],
    ['all of TCP: the well-known ports', [rule(0, 65_535)], wellKnownPorts],
    ['a wide range: its well-known ports', [rule(8000, 8100)], [8000, 8008, 8080, 8081, 8086]],
    ['a wide range and one port of it', [rule(8000, 8100), rule(8001, 8001)], [8000, 8001, 8008, 8080, 8081, 8086]],
  ])('%s', (_, ingress, ports) => {
    expect(publicPorts({ ingress })).toEqual(ports)
  })

  it('are all of a range up to the bound', () => {
    expect(publicPorts({ ingress: [rule(9000, 9000 + widestListedRange - 1)] })).toHaveLength(widestListedRange)
    expect(publicPorts({ ingress: [rule(0, 3)] })).toEqual([1, 2, 3])
  })

  it('include those that people ask for', () => {
    const asked = [22, 80, 443, 3000, 3306, 5432, 5900, 6379, 8000, 8080, 8443, 9000]
    expect(wellKnownPorts).toEqual(expect.arrayContaining(asked))
    expect([...wellKnownPorts].sort((one, other) => one - other)).toEqual(wellKnownPorts)
  })

  describe('behind a border', () => {
    const border = (ingress: BorderRule[], egress: BorderRule[]) => ({ cidr: '10.0.0.0/24', ingress, egress })
    const judged = (verdict: BorderRule['verdict'], about: TrafficRule): BorderRule => ({ ...about, verdict })
    const [all, none] = (['allow', 'deny'] as const).map((verdict) => judged(verdict, rule(-1, -1, anyone, 'all')))
    const ingress = [rule(22, 22), rule(80, 80)]

    it.each<[string, BorderRule[], BorderRule[], readonly number[]]>([
      ['that lets all through: all', [all!, none!], [all!, none!], [22, 80]],
      ['that lets nothing in: none', [none!], [all!], []],
      ['that lets no answers out: none', [all!], [none!], []],
      ['that denies a port: the others', [judged('deny', rule(22, 22)), all!], [all!], [80]],
      ['that denies it to others: all', [judged('deny', rule(22, 22, ['10.0.0.0/8'])), all!], [all!], [22, 80]],
      ['that allows it first: the first counts', [judged('allow', rule(22, 22)), none!, all!], [all!], [22]],
      [
        'that lets answers out to the ports of clients: all',
        [all!],
        [judged('allow', rule(1024, 65_535)), none!],
        [22, 80],
      ],
      ['that lets some of them out only: none', [all!], [judged('allow', rule(1024, 50_000)), none!], []],
      ['that lets all but one out: none', [all!], [judged('deny', rule(40_000, 40_000)), all!], []],
    ])('%s', (_, inward, outward, ports) => {
      expect(publicPorts({ ingress }, border(inward, outward))).toEqual(ports)
    })
  })
})
