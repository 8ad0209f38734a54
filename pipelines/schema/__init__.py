"""The words of the house as types; nothing here touches a model, a file or a network."""
