package plan

import (
	"math/big"
	"strconv"
	"strings"
)

// Quantities are amounts as Kubernetes writes them: a decimal number with a
// suffix for a power of ten (m, k, M, G, T, P, E), one for a power of two (Ki,
// Mi, Gi, Ti, Pi, Ei), or an exponent (1e9). The B of KiB and MB may be there.

// maxQuantity is the greatest amount that is read, in bytes or thousandths.
const maxQuantity = 1 << 60

// quantityLength bounds what is read as a quantity, so that no number is long.
const quantityLength = 32

var quantitySuffixes = map[string]*big.Rat{
	"": rat(1, 0), "m": big.NewRat(1, 1000), "k": rat(10, 3), "M": rat(10, 6), "G": rat(10, 9), "T": rat(10, 12), "P": rat(10, 15), "E": rat(10, 18),
	"Ki": rat(2, 10), "Mi": rat(2, 20), "Gi": rat(2, 30), "Ti": rat(2, 40), "Pi": rat(2, 50), "Ei": rat(2, 60),
}

// rat is a power as a number without an error.
func rat(base, exponent int64) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(base), big.NewInt(exponent), nil))
}

// ParseBytes reads a number of bytes such as 1Gi, 512Mi, 1.5G or 1e9, rounded up
// to a whole one. The empty text is 0. Errors are *Error of kind ErrInvalid.
func ParseBytes(text string) (uint64, error) {
	n, ok := quantity(text, 1)
	if !ok {
		return 0, invalid("%s is no number of bytes such as 512Mi or 1Gi", clipped(text))
	}
	return n, nil
}

// ParseCPU reads a number of cores such as 2, 0.5 or 1500m, in thousandths,
// rounded up. The empty text is 0. Errors are *Error of kind ErrInvalid.
func ParseCPU(text string) (uint64, error) {
	n, ok := quantity(text, 1000)
	if !ok {
		return 0, invalid("%s is no number of cores such as 2, 0.5 or 1500m", clipped(text))
	}
	return n, nil
}

// clipped is a text of somebody else's for a sentence about it.
func clipped(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}

// quantity is an amount times a scale, rounded up.
func quantity(text string, scale int64) (uint64, bool) {
	if text == "" {
		return 0, true
	}
	if len(text) > quantityLength {
		return 0, false
	}
	end := strings.IndexFunc(text, func(r rune) bool { return !(r >= '0' && r <= '9' || r == '.') })
	if end < 0 {
		end = len(text)
	}
	number, suffix := text[:end], text[end:]
	if strings.Count(number, ".") > 1 || strings.Trim(number, ".") == "" {
		return 0, false
	}
	value, ok := new(big.Rat).SetString(strings.TrimSuffix("0"+number, "."))
	if !ok {
		return 0, false
	}
	factor, ok := suffixFactor(suffix)
	if !ok {
		return 0, false
	}
	value.Mul(value, factor).Mul(value, big.NewRat(scale, 1))
	up, rest := new(big.Int).QuoRem(value.Num(), value.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		up.Add(up, big.NewInt(1))
	}
	if !up.IsUint64() || up.Uint64() > maxQuantity {
		return 0, false
	}
	return up.Uint64(), true
}

// suffixFactor is what a suffix multiplies by.
func suffixFactor(suffix string) (*big.Rat, bool) {
	if factor, ok := quantitySuffixes[suffix]; ok {
		return factor, true
	}
	if len(suffix) > 1 && suffix != "mB" { // KiB, MB
		if factor, ok := quantitySuffixes[strings.TrimSuffix(suffix, "B")]; ok {
			return factor, true
		}
	}
	if suffix[0] != 'e' && suffix[0] != 'E' {
		return nil, false
	}
	exponent, err := strconv.ParseInt(suffix[1:], 10, 8)
	switch {
	case err != nil || exponent > 18 || exponent < -18:
		return nil, false
	case exponent < 0:
		return new(big.Rat).Inv(rat(10, -exponent)), true
	}
	return rat(10, exponent), true
}

// FormatBytes writes a number of bytes so that [ParseBytes] reads it: in the
// greatest unit of which it is a whole number.
func FormatBytes(n uint64) string {
	if n == 0 {
		return "0"
	}
	units := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	i := 0
	for n%1024 == 0 {
		n /= 1024
		i++
	}
	return strconv.FormatUint(n, 10) + units[i]
}

// FormatCPU writes thousandths of a core so that [ParseCPU] reads them.
func FormatCPU(millis uint64) string {
	if millis%1000 == 0 {
		return strconv.FormatUint(millis/1000, 10)
	}
	return strconv.FormatUint(millis, 10) + "m"
}
