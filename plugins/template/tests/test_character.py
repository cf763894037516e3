from mmgraph_template.character import CharacterTokenizer

from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("tokenizers", CharacterTokenizer)


def test_frequent_characters_come_first_and_others_are_marked():
    tokenizer = CharacterTokenizer(max_size=2)
    tokenizer.fit(["abba", "abc"])
    assert [codes.tolist() for codes in tokenizer.encode(["abc"])] == [[1, 2, 0]]
    assert tokenizer.decode(tokenizer.encode(["bac"])) == ["ba\N{REPLACEMENT CHARACTER}"]
    assert tokenizer.codebook_size == 3
